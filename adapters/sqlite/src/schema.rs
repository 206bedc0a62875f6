//! The tables, for people too, and how older files become newer ones.

use std::path::Path;

use rusqlite::Connection;

use crate::error::Fault;

/// "faas", in the header of the file.
const APPLICATION: i64 = 0x6661_6173;

/// What turns a file of version N into one of version N + 1: the first makes an empty file ours.
pub(crate) const MIGRATIONS: &[&str] = &[include_str!("schema/v1.sql")];

/// Makes the file's schema the present one.
///
/// Each step is one transaction, so a crash leaves the file at one version or the next.
pub(crate) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), Fault> {
    let sqlite = |error| Fault::sqlite(path, error);
    let found = version(connection, path)?;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        let path = path.to_owned();
        return Err(Fault::Future { path, found, known });
    }
    for (from, migration) in migrations.iter().enumerate().skip(found as usize) {
        let transaction = connection.transaction().map_err(sqlite)?;
        transaction.execute_batch(migration).map_err(sqlite)?;
        transaction
            .pragma_update(None, "user_version", from as i64 + 1)
            .map_err(sqlite)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION)
            .map_err(sqlite)?;
        transaction.commit().map_err(sqlite)?;
    }
    Ok(())
}

/// The schema's version; zero of an empty file.
fn version(connection: &Connection, path: &Path) -> Result<i64, Fault> {
    let sqlite = |error| Fault::sqlite(path, error);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (
        pragma("application_id").map_err(sqlite)?,
        pragma("user_version").map_err(sqlite)?,
    );
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sqlite)?;
    let empty = tables == 0 && application == 0 && version == 0;
    if empty || application == APPLICATION && version > 0 {
        return Ok(version);
    }
    Err(Fault::Foreign {
        path: path.to_owned(),
        finding: format!("application {application}, version {version}, {tables} tables"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: &[&str] = &[
        MIGRATIONS[0],
        "ALTER TABLE batch ADD COLUMN origin TEXT;",
        "CREATE INDEX origins ON batch (origin);",
    ];

    fn file() -> Connection {
        Connection::open_in_memory().expect("a database")
    }

    fn migrated(connection: &mut Connection, to: &[&str]) -> Result<i64, Fault> {
        migrate(connection, Path::new("test.db"), to)?;
        version(connection, Path::new("test.db"))
    }

    #[test]
    fn each_version_becomes_the_present_one() {
        for first in 0..=LATER.len() {
            let mut file = file();
            migrated(&mut file, &LATER[..first]).expect("a first version");
            assert_eq!(migrated(&mut file, LATER).expect("the present version"), 3);
            assert_eq!(migrated(&mut file, LATER).expect("once more"), 3);
        }
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before() {
        let mut file = file();
        let broken = [LATER[0], "CREATE TABLE half (a); CREATE TABLE half (a);"];
        migrated(&mut file, &broken).expect_err("the second step fails");
        assert_eq!(version(&file, Path::new("test.db")).expect("a version"), 1);
        assert_eq!(migrated(&mut file, LATER).expect("the right steps"), 3);
    }

    #[test]
    fn the_future_is_refused() {
        let mut file = file();
        migrated(&mut file, LATER).expect("a later version");
        let refused = migrated(&mut file, MIGRATIONS).expect_err("an older release");
        assert!(
            matches!(
                refused,
                Fault::Future {
                    found: 3,
                    known: 1,
                    ..
                }
            ),
            "{refused}"
        );
    }

    #[test]
    fn another_programs_file_is_refused() {
        let mut file = file();
        file.execute_batch("CREATE TABLE theirs (a)").expect("SQL");
        let refused = migrated(&mut file, MIGRATIONS).expect_err("it is theirs");
        assert!(matches!(refused, Fault::Foreign { .. }), "{refused}");
    }
}
