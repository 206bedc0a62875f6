//! Several stores on one database, as several processes have it.

use faas_core::store::{Batch, Key, Precondition, Revision, Store};
use faas_core::{ErrorKind, Result};
use faas_postgres::PostgresStore;
use futures::StreamExt;

use crate::common::{UNWATCHED, WATCHED, put, schema, value};
use crate::server::Server;

async fn stores<const N: usize>(server: &Server) -> [PostgresStore; N] {
    let schema = schema();
    let mut stores = Vec::new();
    for _ in 0..N {
        let builder = PostgresStore::builder(server.url()).schema(schema.clone());
        stores.push(builder.readers(2).open().await.expect("a store"));
    }
    stores.try_into().expect("so many")
}

/// A session of the test's own, and what drives it.
async fn session(server: &Server, schema: &str) -> tokio_postgres::Client {
    let url = format!("{} options='-c search_path={schema}'", server.url());
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .expect("a session");
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn a_watch_is_woken_by_another_process() {
    let Some(server) = Server::shared() else {
        return;
    };
    let [one, other] = stores(server).await;
    let mut changes = one.watch(&WATCHED, Key::empty(), Revision(0));
    for n in 0..20 {
        let committed = other
            .commit(put(WATCHED, &Key::new("n").number(n), "v"))
            .await;
        let change = changes.next().await.expect("a change").expect("it goes on");
        let committed = committed.expect("committed");
        assert_eq!(Some(change.revision), committed.revision(&WATCHED));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_a_watched_space_has_no_gaps_whoever_writes() {
    let Some(server) = Server::shared() else {
        return;
    };
    const ROUNDS: u64 = 60;
    let [a, b, c] = stores(server).await;
    let mut live = c.watch(&WATCHED, Key::empty(), Revision(0));
    let writers: Vec<_> = [a.clone(), b, c.clone()]
        .into_iter()
        .enumerate()
        .flat_map(|(process, store)| (0..3).map(move |task| (process * 3 + task, store.clone())))
        .map(|(writer, store)| {
            tokio::spawn(async move {
                for n in 0..ROUNDS {
                    let key = Key::new("w").number(writer as u64);
                    let batch = put(WATCHED, &key, &n.to_string());
                    // Half of them also meet at a common key.
                    let batch = match writer % 2 {
                        0 => batch.put(UNWATCHED, Key::new("c"), "v", Precondition::Any),
                        _ => batch,
                    };
                    store.commit(batch).await.expect("committed");
                }
            })
        })
        .collect();
    let mut last = [None; 9];
    let mut seen = Vec::new();
    for expected in 1..=9 * ROUNDS {
        let change = live.next().await.expect("a change").expect("it goes on");
        assert_eq!(
            change.revision,
            Revision(expected),
            "a gap, or another order"
        );
        let writer = change.key.parts().next_back().expect("a part");
        let writer: usize = std::str::from_utf8(writer).unwrap().parse().unwrap();
        let (value, _) = change.value.clone().expect("a value");
        let n: u64 = std::str::from_utf8(&value).unwrap().parse().unwrap();
        assert_eq!(
            last[writer].map_or(0, |last: u64| last + 1),
            n,
            "missing or twice"
        );
        last[writer] = Some(n);
        seen.push(change);
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    let late = a.watch(&WATCHED, Key::empty(), Revision(0));
    let late: Vec<_> = late.take(seen.len()).map(Result::unwrap).collect().await;
    assert_eq!(late, seen, "two watches differ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_race_for_one_key_each_sees_the_one_before() {
    let Some(server) = Server::shared() else {
        return;
    };
    let stores: [_; 3] = stores(server).await;
    let key = Key::new("counter");
    let counters: Vec<_> = stores
        .iter()
        .flat_map(|store| [store.clone(), store.clone()])
        .map(|store| {
            let key = key.clone();
            tokio::spawn(async move {
                let mut raised = 0u64;
                while raised < 30 {
                    let entry = store.get(&UNWATCHED, &key).await.expect("a read");
                    let (next, condition) = match &entry {
                        None => (1, Precondition::Absent),
                        Some(entry) => {
                            let now: u64 =
                                std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                            (now + 1, Precondition::At(entry.version))
                        }
                    };
                    let next: String = next.to_string();
                    let batch = Batch::new().put(UNWATCHED, key.clone(), next, condition);
                    match store.commit(batch).await {
                        Ok(_) => raised += 1,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                    }
                }
            })
        })
        .collect();
    for counter in counters {
        counter.await.expect("a counter");
    }
    let end = value(&stores[0], &UNWATCHED, &key).await;
    assert_eq!(end.as_deref(), Some("180"), "an update was lost");
}

#[tokio::test]
async fn an_absent_key_is_taken_once() {
    let Some(server) = Server::shared() else {
        return;
    };
    let stores: [_; 3] = stores(server).await;
    for round in 0..20 {
        let key = Key::new("taken").number(round);
        let takers = stores.iter().map(|store| {
            let batch = Batch::new().put(UNWATCHED, key.clone(), "v", Precondition::Absent);
            store.commit(batch)
        });
        let taken = futures::future::join_all(takers).await;
        assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 1);
    }
}

#[tokio::test]
async fn an_unwatched_space_is_not_serialised() {
    let Some(server) = Server::shared() else {
        return;
    };
    let schema = schema();
    let builder = PostgresStore::builder(server.url()).schema(schema.clone());
    let store = builder.open().await.expect("a store");
    let (held, free) = (Key::new("held"), Key::new("free"));
    store
        .commit(put(UNWATCHED, &held, "0"))
        .await
        .expect("committed");
    store
        .commit(put(WATCHED, &held, "0"))
        .await
        .expect("committed");
    // Another transaction holds one key, and does not end.
    let session = session(server, &schema).await;
    let hold = "BEGIN; UPDATE entry SET version = version WHERE space =
        (SELECT id FROM space WHERE name = 'unwatched')";
    session.batch_execute(hold).await.expect("held");
    let waits = store.commit(put(UNWATCHED, &held, "1"));
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO entry%' AND $1 =
            ANY (SELECT unnest(pg_blocking_pids(pid)))";
    let own = session
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .expect("a number");
    let own: i32 = own.get(0);
    while session
        .query_one(waiting, &[&own])
        .await
        .expect("a count")
        .get::<_, i64>(0)
        == 0
    {
        tokio::task::yield_now().await;
    }
    for n in 0..20 {
        let beside = store.commit(put(UNWATCHED, &free.number(n), "v")).await;
        beside.expect("it shares nothing with what waits");
    }
    store
        .commit(put(WATCHED, &free, "v"))
        .await
        .expect("another space");
    assert_eq!(value(&store, &UNWATCHED, &held).await.as_deref(), Some("0"));
    session.batch_execute("COMMIT").await.expect("let go");
    waits.await.expect("committed");
    assert_eq!(value(&store, &UNWATCHED, &held).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn schemas_have_nothing_to_do_with_each_other() {
    let Some(server) = Server::shared() else {
        return;
    };
    let ([one], [other]) = (stores::<1>(server).await, stores::<1>(server).await);
    one.commit(put(WATCHED, &Key::new("a"), "1"))
        .await
        .expect("committed");
    assert_eq!(value(&other, &WATCHED, &Key::new("a")).await, None);
}
