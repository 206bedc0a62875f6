//! Killed at random points, the store loses nothing that it acknowledged or showed.

use std::process::Command;
use std::sync::Arc;

use faas_core::store::conformance::crash;
use faas_sqlite::{Integrity, SqliteStore};

use crate::common::place;

/// Where the child's store is; also tells a child that it is one.
const CHILD: &str = "FAAS_SQLITE_CRASH_CHILD";

#[test]
fn nothing_acknowledged_is_lost_by_kill() {
    let (_directory, path) = place();
    let kills = std::env::var("FAAS_CRASHES")
        .ok()
        .and_then(|n| n.parse().ok());
    let lives = crash::survives(kills.unwrap_or(60), 1, || {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(["--exact", "crash::child", "--nocapture"]);
        child.env(CHILD, &path);
        child
    });
    println!("{lives:?}");
    assert!(lives.acknowledged > lives.kills, "{lives:?}");
}

/// Does nothing unless it is the child of the test above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let builder = SqliteStore::builder(path).integrity(Integrity::Full);
    let store = builder.open().await.expect("a store after a crash");
    crash::work(Arc::new(store)).await;
}
