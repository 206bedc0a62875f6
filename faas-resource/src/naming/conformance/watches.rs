//! Watching names.

use faas_core::store::Revision;

use super::{Fixture, add, next, path, remove};

/// "A watch from revision N delivers every later change under its prefix once and in order, or
/// fails with `Compacted`."
pub async fn watch_in_order(fixture: Fixture) {
    let naming = &*fixture.naming;
    let mut all = naming.watch(&path("a"), Revision(0));
    add(naming, "a", "1").await;
    add(naming, "ab", "2").await;
    let third = add(naming, "a/x", "3").await;
    let mut later = naming.watch(&path("a"), third);
    remove(naming, "a").await;
    add(naming, "b", "4").await;
    add(naming, "a", "5").await;
    add(naming, "a/end", "6").await;
    for expected in ["a=1", "a/x=3", "a", "a=5", "a/end=6"] {
        assert_eq!(next(&mut all).await, expected, "from the beginning");
    }
    for expected in ["a", "a=5", "a/end=6"] {
        assert_eq!(next(&mut later).await, expected, "from {third:?}");
    }
}
