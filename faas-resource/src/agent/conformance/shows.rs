//! What `list` and `watch` show.

use std::collections::BTreeMap;
use std::time::Duration;

use faas_core::{Digest, WorkloadId};
use futures::StreamExt;

use super::fixture::{Fixture, id, running};
use crate::agent::NodeEvent;
use crate::hook::Cookie;

/// "`list` shows every sandbox that was ensured and not stopped, with the workload, digest and cookie
/// of the request that brought it into being."
pub async fn list_shows_all(fixture: Fixture) {
    assert!(fixture.list().await.is_empty(), "the fixture is not fresh");
    let mut expected = BTreeMap::new();
    for number in 1..=3u128 {
        let id = id();
        let mut request = running(id, &fixture.lasting);
        request.workload = WorkloadId::from_u128(number);
        request.digest = Digest::of(&[7; 3][..number as usize]);
        request.prepared.cookie = Cookie(format!("cookie {number}").into());
        let same = (
            request.workload,
            request.digest,
            request.prepared.cookie.clone(),
        );
        expected.insert(id, same);
        let status = fixture.ensure(request.clone()).await;
        assert_eq!(status.digest, request.digest, "it answers another digest");
        // What is asked for again is the same sandbox.
        fixture.ensure(request).await;
    }
    let listed = fixture.list().await.into_iter();
    let listed = listed.map(|one| (one.id, (one.workload, one.digest, one.cookie)));
    assert_eq!(listed.collect::<BTreeMap<_, _>>(), expected);
    for id in expected.keys() {
        fixture.stop(*id, Duration::from_secs(1)).await;
    }
    assert!(fixture.list().await.is_empty(), "stopped ones are listed");
}

/// "`watch` reports what happens from the call on."
pub async fn watch_pushes(fixture: Fixture) {
    let before = id();
    fixture.ensure(running(before, &fixture.lasting)).await;
    let mut events = fixture.agent.watch();
    let id = id();
    fixture.ensure(running(id, &fixture.lasting)).await;
    let first = fixture.soon("an event", events.next()).await;
    let Some(NodeEvent::Sandbox(status)) = first else {
        panic!("{first:?} instead of the start");
    };
    assert_eq!(status.id, id, "an event of before the call");
    fixture.stop(id, Duration::from_secs(1)).await;
    let removed = async {
        while let Some(event) = events.next().await {
            if matches!(event, NodeEvent::Removed(removed) if removed == id) {
                return;
            }
        }
        panic!("the watch ended")
    };
    fixture
        .soon("the report that it left the list", removed)
        .await;
    fixture.stop(before, Duration::from_secs(1)).await;
}
