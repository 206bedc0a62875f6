//! Opening, closing, what is kept.

use faas_core::store::{BatchOutcome, Durability, Key, Precondition, Revision, Space, Store};
use faas_core::{ByteSize, ErrorKind};
use faas_postgres::PostgresStore;
use futures::StreamExt;

use crate::common::{UNWATCHED, WATCHED, builder, put, schema, value};
use crate::server::Server;

#[tokio::test]
async fn what_was_committed_is_there_again_and_outcomes_too() {
    let Some(server) = Server::shared() else {
        return;
    };
    let builder = builder(server);
    let store = builder.clone().open().await.expect("a store");
    assert_eq!(store.durability(), Durability::Disk);
    let key = Key::new("a");
    let batch =
        put(WATCHED, &key, "1").put(Space::watched("b"), key.clone(), "2", Precondition::Any);
    let id = batch.id();
    let committed = store.commit(batch).await.expect("committed");
    store.close().await;
    let error = store.commit(put(WATCHED, &key, "2")).await;
    assert_eq!(error.expect_err("closed").kind(), ErrorKind::Unavailable);
    let error = store.get(&WATCHED, &key).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let end = store
        .watch(&WATCHED, Key::empty(), Revision(0))
        .next()
        .await;
    end.expect("an end").expect_err("closed");

    let store = builder.open().await.expect("the same store");
    assert_eq!(value(&store, &WATCHED, &key).await.as_deref(), Some("1"));
    let outcome = store.outcome(id).await.expect("an answer");
    assert_eq!(outcome, BatchOutcome::Committed(committed));
}

#[tokio::test]
async fn closing_commits_what_was_submitted_and_ends_the_watches() {
    let Some(server) = Server::shared() else {
        return;
    };
    let store = builder(server).open().await.expect("a store");
    let mut changes = store.watch(&Space::watched("other"), Key::empty(), Revision(0));
    let commits: Vec<_> = (0..300)
        .map(|n| store.commit(put(WATCHED, &Key::new("n").number(n), "v")))
        .collect();
    store.close().await;
    for commit in commits {
        commit.await.expect("it was submitted before");
    }
    changes.next().await.expect("an end").expect_err("closed");
}

#[tokio::test]
async fn two_that_open_a_new_schema_at_once_both_succeed() {
    let Some(server) = Server::shared() else {
        return;
    };
    let builder = builder(server);
    let opened = (0..4).map(|_| builder.clone().lanes(1).readers(1).open());
    for store in futures::future::join_all(opened).await {
        let store = store.expect("a store");
        store
            .commit(put(UNWATCHED, &Key::new("a"), "1"))
            .await
            .expect("committed");
    }
}

#[tokio::test]
async fn every_fault_of_the_options_is_told_at_once() {
    let refused = PostgresStore::builder("host")
        .schema("pg_catalog")
        .lanes(0)
        .readers(0)
        .queue(0, ByteSize(1))
        .kept_changes(0, ByteSize(0))
        .patience(std::time::Duration::ZERO)
        .open()
        .await
        .expect_err("all of it is wrong");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert!(refused.message().starts_with("9 faults"), "{refused}");
}

#[tokio::test]
async fn a_later_releases_schema_is_refused() {
    let Some(server) = Server::shared() else {
        return;
    };
    let schema = schema();
    let builder = PostgresStore::builder(server.url()).schema(schema.clone());
    builder.clone().open().await.expect("a store").close().await;
    let session = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await;
    let (session, connection) = session.expect("a session");
    tokio::spawn(connection);
    let later = format!("UPDATE {schema}.schema_version SET version = 99");
    session.batch_execute(&later).await.expect("a version");
    let refused = builder.open().await.expect_err("the future");
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    assert!(refused.message().contains("version 99"), "{refused}");
}

#[tokio::test]
async fn a_space_is_declared_alike_everywhere() {
    let Some(server) = Server::shared() else {
        return;
    };
    let store = builder(server).open().await.expect("a store");
    let key = Key::new("a");
    let (watched, unwatched) = (Space::watched("s"), Space::unwatched("s"));
    store
        .commit(put(watched, &key, "1"))
        .await
        .expect("committed");
    let neighbours: Vec<_> = (0..20)
        .map(|n| store.commit(put(UNWATCHED, &Key::new("n").number(n), "v")))
        .collect();
    let commit = store.commit(put(unwatched.clone(), &key, "2")).await;
    let invalid = |error: faas_core::Error| {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    };
    invalid(commit.expect_err("declared otherwise"));
    invalid(store.get(&unwatched, &key).await.expect_err("in a read"));
    for neighbour in neighbours {
        neighbour.await.expect("it has nothing to do with that");
    }
}

#[tokio::test]
async fn a_batch_is_submitted_once() {
    let Some(server) = Server::shared() else {
        return;
    };
    let store = builder(server).open().await.expect("a store");
    let batch = put(WATCHED, &Key::new("a"), "1");
    let committed = store.commit(batch.clone()).await.expect("committed");
    let error = store.commit(batch.clone()).await.expect_err("again");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    let outcome = store.outcome(batch.id()).await.expect("it knows");
    assert_eq!(outcome, BatchOutcome::Committed(committed));
}

#[tokio::test]
async fn the_queries_of_the_readme_run() {
    let Some(server) = Server::shared() else {
        return;
    };
    let schema = schema();
    let builder = PostgresStore::builder(server.url()).schema(schema.clone());
    let store = builder.open().await.expect("a store");
    let key = Key::new("shop").child("checkout");
    store
        .commit(put(WATCHED, &key, "{}"))
        .await
        .expect("committed");
    let url = format!("{} options='-c search_path={schema}'", server.url());
    let session = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
    let (session, connection) = session.expect("a session");
    tokio::spawn(connection);
    let readme = include_str!("../../README.md");
    let block = readme.split("```sql").nth(1).expect("a block");
    let block = block.split("```").next().expect("its end");
    let mut queries = 0;
    for query in block.split(';').filter(|query| !query.trim().is_empty()) {
        let rows = session.query(query, &[]).await;
        rows.unwrap_or_else(|error| panic!("{query}: {error}"));
        queries += 1;
    }
    assert_eq!(queries, 4);
    let row = session
        .query_one("SELECT key, value FROM entries", &[])
        .await;
    let row = row.expect("a row");
    assert_eq!((row.get(0), row.get(1)), ("shop/checkout/", "{}"));
}
