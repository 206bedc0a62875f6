//! Leases.

use std::time::Duration;

use faas_core::ErrorKind;

use super::{Fixture, add, bind, list, next, path, refused, value, within};
use crate::naming::{Bind, LeaseId, NamingService};

async fn grant(naming: &dyn NamingService, time_to_live: Duration) -> LeaseId {
    let granted = within("grant", naming.grant(time_to_live)).await;
    granted.unwrap_or_else(|error| panic!("grant: {error}"))
}

async fn lend(naming: &dyn NamingService, name: &str, lease: LeaseId) {
    let mut lent = Bind::new(path(name), "lent");
    lent.lease = Some(lease);
    bind(naming, lent).await;
}

/// "A name bound under a lease that is not renewed within its time to live is gone soon after, and
/// its watchers are told."
pub async fn lease_expires(fixture: Fixture) {
    let naming = &*fixture.naming;
    add(naming, "names/kept", "for ever").await;
    let lease = grant(naming, Duration::from_millis(500)).await;
    lend(naming, "names/a", lease).await;
    lend(naming, "names/b", lease).await;
    let (_, revision) = list(naming, "names").await;
    let mut events = naming.watch(&path("names"), revision);
    let mut gone = [next(&mut events).await, next(&mut events).await];
    gone.sort();
    assert_eq!(gone, ["names/a", "names/b"]);
    assert_eq!(list(naming, "names").await.0, ["names/kept"]);
    add(naming, "names/a", "anew").await;
}

/// "A name bound under a lease that is renewed in time stays."
pub async fn lease_renewed_lives(fixture: Fixture) {
    let naming = &*fixture.naming;
    let lease = grant(naming, Duration::from_millis(1500)).await;
    lend(naming, "a", lease).await;
    // What is tested is that time passes.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let renewed = within("renew", naming.renew(lease)).await;
        renewed.unwrap_or_else(|error| panic!("renew in time: {error}"));
        assert_eq!(value(naming, "a").await.as_deref(), Some("lent"));
    }
}

/// "Revoking a lease unbinds all that is bound under it."
pub async fn revoke_unbinds(fixture: Fixture) {
    let naming = &*fixture.naming;
    let day = Duration::from_secs(86_400);
    let (one, other) = (grant(naming, day).await, grant(naming, day).await);
    // More names than most implementations unbind at once.
    for number in 0..70 {
        lend(naming, &format!("one/{number}"), one).await;
    }
    lend(naming, "other", other).await;
    add(naming, "kept", "for ever").await;
    // Who is bound anew without the lease no longer depends on it.
    let mut freed = Bind::new(path("one/7"), "free");
    let record = within("resolve", naming.resolve(&path("one/7"))).await;
    let record = record.expect("resolve").expect("a bound name");
    freed.expected = crate::naming::Expected::At(record.revision);
    bind(naming, freed).await;

    let revoked = within("revoke", naming.revoke(one)).await;
    revoked.unwrap_or_else(|error| panic!("revoke: {error}"));
    assert_eq!(list(naming, "one").await.0, ["one/7"]);
    assert_eq!(value(naming, "other").await.as_deref(), Some("lent"));
    assert_eq!(value(naming, "kept").await.as_deref(), Some("for ever"));
}

/// "Binding under, or renewing, a lease that is gone answers `NotFound`."
pub async fn unknown_lease(fixture: Fixture) {
    let naming = &*fixture.naming;
    let revoked = grant(naming, Duration::from_secs(60)).await;
    within("revoke", naming.revoke(revoked))
        .await
        .expect("revoke");
    for lease in [revoked, LeaseId(u64::MAX - 7)] {
        let mut lent = Bind::new(path("a"), "lent");
        lent.lease = Some(lease);
        let bound = within("bind", naming.bind(lent)).await;
        refused(
            bound,
            ErrorKind::NotFound,
            "bind under a lease that is gone",
        );
        let renewed = within("renew", naming.renew(lease)).await;
        refused(renewed, ErrorKind::NotFound, "renew a lease that is gone");
    }
    assert_eq!(value(naming, "a").await, None);
}
