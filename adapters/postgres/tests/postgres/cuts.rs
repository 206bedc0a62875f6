//! Connections that are cut, and servers that go down and come up.

use std::time::Duration;

use faas_core::store::{AmbiguousCommit, BatchOutcome, Key, Precondition, Revision, Store};
use faas_core::{ErrorKind, Retry};
use faas_postgres::PostgresStore;
use futures::StreamExt;

use crate::common::{UNWATCHED, WATCHED, builder, put, schema, value};
use crate::proxy::{Mode, Proxy};
use crate::server::Server;

/// A store behind a proxy, and one with a way of its own.
async fn two_ways(server: &Server) -> (Proxy, PostgresStore, PostgresStore) {
    let proxy = Proxy::before(server.socket()).await;
    let schema = schema();
    let open = async |url: String| {
        let builder = PostgresStore::builder(url).schema(schema.clone()).lanes(1);
        let builder = builder.readers(2).patience(Duration::from_secs(5));
        builder.open().await.expect("a store")
    };
    let direct = open(server.url()).await;
    let proxied = open(proxy.url()).await;
    (proxy, proxied, direct)
}

/// The error of a commit in doubt.
async fn in_doubt(
    commit: impl Future<Output = faas_core::Result<faas_core::store::Committed>>,
    id: faas_core::store::BatchId,
) {
    let error = commit.await.expect_err("the answer was lost");
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Ambiguous)
    );
    assert_eq!(AmbiguousCommit::of(&error), Some(id), "{error}");
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_has_happened() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (proxy, store, direct) = two_ways(server).await;
    let key = Key::new("a");
    store
        .commit(put(WATCHED, &key, "0"))
        .await
        .expect("committed");
    let mut changes = direct.watch(&WATCHED, Key::empty(), Revision(1));
    proxy.next_commit(Mode::LoseAnswer);
    let batch = put(WATCHED, &key, "1");
    let id = batch.id();
    let commit = store.commit(batch);
    proxy.seen().await;
    let change = changes
        .next()
        .await
        .expect("a change")
        .expect("it is there");
    proxy.release();
    in_doubt(commit, id).await;
    let outcome = store.outcome(id).await.expect("an answer");
    let BatchOutcome::Committed(committed) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(committed.revision(&WATCHED), Some(change.revision));
    assert_eq!(value(&store, &WATCHED, &key).await.as_deref(), Some("1"));
    store
        .commit(put(WATCHED, &key, "2"))
        .await
        .expect("it goes on");
}

#[tokio::test]
async fn a_commit_that_is_lost_itself_never_happens() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (proxy, store, _direct) = two_ways(server).await;
    let key = Key::new("a");
    store
        .commit(put(UNWATCHED, &key, "0"))
        .await
        .expect("committed");
    proxy.next_commit(Mode::LoseCommit);
    let batch = put(UNWATCHED, &key, "1");
    let id = batch.id();
    in_doubt(store.commit(batch), id).await;
    assert_eq!(
        store.outcome(id).await.expect("an answer"),
        BatchOutcome::Aborted
    );
    assert_eq!(value(&store, &UNWATCHED, &key).await.as_deref(), Some("0"));
}

#[tokio::test]
async fn asking_decides_even_while_the_server_still_holds_the_transaction() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (proxy, store, direct) = two_ways(server).await;
    let key = Key::new("a");
    store
        .commit(put(UNWATCHED, &key, "0"))
        .await
        .expect("committed");
    proxy.next_commit(Mode::HoldSession);
    let batch = put(UNWATCHED, &key, "1");
    let id = batch.id();
    in_doubt(store.commit(batch), id).await;
    let asking = {
        let store = store.clone();
        tokio::spawn(async move { store.outcome(id).await })
    };
    // The session's end is the server's: nobody waits for ever for a transaction without a client.
    let outcome = asking.await.expect("no panic").expect("an answer");
    assert_eq!(outcome, BatchOutcome::Aborted);
    proxy.release();
    assert_eq!(value(&direct, &UNWATCHED, &key).await.as_deref(), Some("0"));
    direct
        .commit(put(UNWATCHED, &key, "2"))
        .await
        .expect("its locks are gone");
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_server_crashes_and_all_goes_on() {
    let Some(server) = Server::start() else {
        return;
    };
    let store = builder(&server).open().await.expect("a store");
    let mut changes = store.watch(&WATCHED, Key::empty(), Revision(0));
    let mut acknowledged = Vec::new();
    for round in 0..3u64 {
        let commits: Vec<_> = (0..200u64)
            .map(|n| {
                let key = Key::new("n").number(round).number(n);
                let batch =
                    put(WATCHED, &key, "v").put(UNWATCHED, key.clone(), "v", Precondition::Absent);
                (key, batch.id(), store.commit(batch))
            })
            .collect();
        // Some are done, some under way, some wait.
        changes
            .next()
            .await
            .expect("a change")
            .expect("the watch goes on");
        server.stop("QUIT");
        let mut doubtful = Vec::new();
        for (key, id, commit) in commits {
            match commit.await {
                Ok(_) => acknowledged.push(key),
                Err(error) if error.retry() == Retry::Ambiguous => doubtful.push((key, id)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
        }
        server.start_again();
        for (key, id) in doubtful {
            let outcome = store.outcome(id).await.expect("the server is back");
            let there = value(&store, &UNWATCHED, &key).await.is_some();
            match outcome {
                BatchOutcome::Committed(_) => assert!(there, "{key:?}"),
                BatchOutcome::Aborted => assert!(!there, "{key:?}"),
                BatchOutcome::Unknown => panic!("{key:?} stays in doubt"),
            }
        }
        let after = Key::new("after").number(round);
        store
            .commit(put(WATCHED, &after, "v"))
            .await
            .expect("it goes on");
        while changes
            .next()
            .await
            .expect("a change")
            .expect("it goes on")
            .key
            != after
        {}
    }
    assert!(
        !acknowledged.is_empty(),
        "the server went down before anything"
    );
    for key in acknowledged {
        for space in [WATCHED, UNWATCHED] {
            assert!(
                value(&store, &space, &key).await.is_some(),
                "{key:?} is lost"
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_told() {
    let Some(server) = Server::start() else {
        return;
    };
    let store = builder(&server).open().await.expect("a store");
    let key = Key::new("a");
    store
        .commit(put(WATCHED, &key, "1"))
        .await
        .expect("committed");
    server.stop("INT");
    let batch = put(WATCHED, &key, "2");
    let id = batch.id();
    let error = store.commit(batch).await.expect_err("there is no server");
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Safe),
        "{error}"
    );
    let error = store
        .get(&WATCHED, &key)
        .await
        .expect_err("there is no server");
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Safe),
        "{error}"
    );
    let error = builder(&server)
        .open()
        .await
        .expect_err("there is no server");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    server.start_again();
    assert_eq!(
        store.outcome(id).await.expect("an answer"),
        BatchOutcome::Aborted
    );
    assert_eq!(value(&store, &WATCHED, &key).await.as_deref(), Some("1"));
}
