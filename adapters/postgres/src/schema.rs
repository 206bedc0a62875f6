//! The tables, for people too, and how older ones become newer ones.

use faas_core::{Error, Result};
use tokio_postgres::Client;

use crate::error::postgres;

const OPEN: &str = "open PostgreSQL store";

/// What turns schema N into schema N + 1.
pub(crate) const MIGRATIONS: &[&str] = &[include_str!("schema/v1.sql")];

/// Makes the schema, or brings it to the present version. One process does it at a time; each
/// step is one transaction.
pub(crate) async fn migrate(client: &mut Client, schema: &str, migrations: &[&str]) -> Result<()> {
    let postgres = |error| postgres(OPEN, error);
    let known = migrations.len() as i32;
    loop {
        let transaction = client.transaction().await.map_err(postgres)?;
        // Two processes that begin at once: the second waits here.
        let alone = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        let name = format!("faas schema {schema}");
        transaction.query(alone, &[&name]).await.map_err(postgres)?;
        let begin = format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};
             CREATE TABLE IF NOT EXISTS {schema}.schema_version (version integer NOT NULL);"
        );
        transaction.batch_execute(&begin).await.map_err(postgres)?;
        let found = transaction
            .query_opt("SELECT version FROM schema_version", &[])
            .await
            .map_err(postgres)?
            .map_or(0, |row| row.get::<_, i32>(0));
        if found > known {
            let message = format!(
                "schema {schema} was made by a later release (version {found}; this one knows up \
                 to {known}): run that release, or restore a backup made before it"
            );
            return Err(Error::unsupported(OPEN, message));
        }
        let Some(next) = migrations.get(found as usize) else {
            return transaction.commit().await.map_err(postgres);
        };
        let step = format!(
            "{next}
             DELETE FROM schema_version;
             INSERT INTO schema_version VALUES ({});",
            found + 1
        );
        transaction.batch_execute(&step).await.map_err(postgres)?;
        transaction.commit().await.map_err(postgres)?;
    }
}
