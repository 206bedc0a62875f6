//! Binding, unbinding and reading names.

use faas_core::ErrorKind;
use futures::future::join_all;

use super::{Fixture, add, bind, list, path, refused, remove, value, within};
use crate::naming::{Bind, Expected};

/// "Of several who bind an absent name, one succeeds and the others get `Conflict`."
pub async fn unique(fixture: Fixture) {
    let naming = &*fixture.naming;
    let racers = (0..8).map(|n| naming.bind(Bind::new(path("leader"), n.to_string())));
    let results = within("racing binds", join_all(racers)).await;
    let winners: Vec<_> = (0..8).filter(|n| results[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "winners of eight");
    for result in results.into_iter().filter(Result::is_err) {
        refused(result, ErrorKind::Conflict, "a loser");
    }
    assert_eq!(value(naming, "leader").await, Some(winners[0].to_string()));
}

/// "A bind or unbind whose expectation fails answers `Conflict` and changes nothing."
pub async fn conditional(fixture: Fixture) {
    let naming = &*fixture.naming;
    let first = add(naming, "a", "1").await;
    let at = |revision, value: &'static str| {
        let mut bind = Bind::new(path("a"), value);
        bind.expected = Expected::At(revision);
        bind
    };
    let second = bind(naming, at(first, "2")).await;
    let record = within("resolve", naming.resolve(&path("a"))).await;
    let record = record.expect("resolve").expect("a bound name");
    assert_eq!(record.revision, second, "the revision of the record");

    let stale = within("bind", naming.bind(at(first, "3"))).await;
    refused(stale, ErrorKind::Conflict, "bind at an old revision");
    let again = within("bind", naming.bind(Bind::new(path("a"), "3"))).await;
    refused(again, ErrorKind::Conflict, "bind a bound name");
    let stale = within("unbind", naming.unbind(&path("a"), Some(first))).await;
    refused(stale, ErrorKind::Conflict, "unbind at an old revision");
    assert_eq!(value(naming, "a").await.as_deref(), Some("2"));

    let unbound = within("unbind", naming.unbind(&path("a"), Some(second))).await;
    unbound.expect("unbind at the revision");
    assert_eq!(value(naming, "a").await, None);
    let missing = within("bind", naming.bind(at(second, "4"))).await;
    refused(
        missing,
        ErrorKind::Conflict,
        "bind at a revision what is unbound",
    );
    let missing = within("unbind", naming.unbind(&path("a"), Some(second))).await;
    refused(
        missing,
        ErrorKind::Conflict,
        "unbind at a revision what is unbound",
    );
    remove(naming, "a").await;
    assert_eq!(value(naming, "a").await, None);
}

/// "Each bind and unbind has a higher revision than those before."
pub async fn revisions_rise(fixture: Fixture) {
    let naming = &*fixture.naming;
    let mut last = add(naming, "a", "1").await;
    for name in ["b", "a", "c", "a"] {
        remove(naming, name).await;
        let (_, listed) = list(naming, name).await;
        assert!(listed >= last, "{listed:?} of a list after {last:?}");
        let next = add(naming, name, "2").await;
        assert!(next > last, "{next:?} follows {last:?}");
        last = next;
    }
}

/// "What was acknowledged is seen by every later `resolve` and `list`."
pub async fn consistent(fixture: Fixture) {
    let naming = &*fixture.naming;
    for round in 0..20 {
        let name = format!("nodes/{round}");
        bind(naming, Bind::new(path(&name), "here")).await;
        assert_eq!(value(naming, &name).await.as_deref(), Some("here"));
        assert_eq!(list(naming, "nodes").await.0, [name.as_str()]);
        remove(naming, &name).await;
        assert_eq!(value(naming, &name).await, None);
        assert!(list(naming, "nodes").await.0.is_empty());
    }
}

/// "`list(prefix)` answers the name itself and all below it, and nothing else, in order, with the
/// revision from which a watch misses nothing."
pub async fn list_is_by_prefix(fixture: Fixture) {
    let naming = &*fixture.naming;
    for name in ["a/c", "ab", "a", "b/a", "a/b/d", "a/b", "a-c"] {
        add(naming, name, "1").await;
    }
    let (names, revision) = list(naming, "a").await;
    assert_eq!(names, ["a", "a/b", "a/b/d", "a/c"]);
    assert_eq!(list(naming, "a/b").await.0, ["a/b", "a/b/d"]);
    assert!(list(naming, "c").await.0.is_empty());

    let mut events = naming.watch(&path("a"), revision);
    add(naming, "a/e", "2").await;
    assert_eq!(super::next(&mut events).await, "a/e=2");
}
