//! A process that is killed at random points loses nothing of what it heard or showed.

use std::process::Command;
use std::sync::Arc;

use faas_core::store::conformance::crash;
use faas_postgres::PostgresStore;

use crate::common::schema;
use crate::server::Server;

/// Which database and schema the child works on; also tells a child that it is one.
const CHILD: &str = "FAAS_POSTGRES_CRASH_CHILD";

#[test]
fn nothing_acknowledged_is_lost_by_kill() {
    let Some(server) = Server::shared() else {
        return;
    };
    let place = format!("{} {}", schema(), server.url());
    let kills = std::env::var("FAAS_CRASHES")
        .ok()
        .and_then(|n| n.parse().ok());
    let lives = crash::survives(kills.unwrap_or(30), 2, || {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(["--exact", "crash::child", "--nocapture"]);
        child.env(CHILD, &place);
        child
    });
    println!("{lives:?}");
    assert!(lives.acknowledged > lives.kills, "{lives:?}");
}

/// Does nothing unless it is the child of the test above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(place) = std::env::var(CHILD) else {
        return;
    };
    let (schema, url) = place.split_once(' ').expect("a schema and a URL");
    let store = PostgresStore::builder(url).schema(schema).open().await;
    crash::work(Arc::new(store.expect("a store after a crash"))).await;
}
