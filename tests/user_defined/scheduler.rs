//! A scheduler of one's own (R3) places the sandboxes.

use bytes::Bytes;
use faas::Platform;
use faas::core::explain::Reason;
use faas::core::{Component, Description, Monotonic, PolicyContext, Result};
use faas::resource::ResourceScheduler;
use faas::resource::scheduler::{ClusterChange, ClusterView, Placement, PlacementRequest};

use crate::{double, doubling, names};

const FIRST: Reason = Reason::new("first.node", "{node} comes first in the alphabet");
const NOWHERE: Reason = Reason::new("first.nowhere", "no node runs it");

/// The first node that runs such things, whatever it holds already.
#[derive(Default)]
struct First {
    /// How often it panics, and then how often it has no answer.
    faults: [u32; 2],
}

impl First {
    fn fault(&mut self) -> bool {
        let [panics, silences] = &mut self.faults;
        if *panics > 0 {
            *panics -= 1;
            panic!("it is a bad scheduler");
        }
        let silent = *silences > 0;
        *silences = silences.saturating_sub(1);
        silent
    }
}

impl ResourceScheduler for First {
    fn observe(&mut self, _: &ClusterChange) {}

    fn schedule(
        &mut self,
        _: &mut PolicyContext,
        cluster: &ClusterView,
        batch: &[PlacementRequest],
    ) -> Vec<Placement> {
        if self.fault() {
            return Vec::new();
        }
        let place = |request: &PlacementRequest| {
            let kind = request.workload.sandbox.executable.kind();
            let mut nodes = cluster.nodes().iter();
            match nodes.find(|(_, node)| node.open && node.info.executables.contains(&kind)) {
                Some((name, _)) => Placement::On {
                    node: name.clone(),
                    preempts: Vec::new(),
                    reasons: vec![FIRST.with("node", name.as_str())],
                },
                None => Placement::Unschedulable {
                    reasons: vec![NOWHERE],
                    nodes: Vec::new(),
                },
            }
        };
        batch.iter().map(place).collect()
    }

    fn wake_at(&self) -> Option<Monotonic> {
        None
    }
    fn save(&self) -> Bytes {
        Bytes::new()
    }
    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn describe(&self) -> Description {
        Description::new("First").provides(Component::R3)
    }
}

#[tokio::test]
async fn it_places_and_its_reason_is_told() {
    let platform = doubling(Platform::builder().scheduler(First::default())).await;
    names(&platform, Component::R3, "First");
    let four = faas::core::Payload::json(&4).expect("JSON");
    let cold = platform.run("double", four).await.expect("it runs");
    let why = platform.explain(cold.id).to_string();
    assert!(why.contains("memory comes first in the alphabet"), "{why}");
    assert_eq!(double(&platform, 4).await, 8);
}

#[tokio::test]
async fn one_that_panics_or_has_no_answer_is_asked_again() {
    let scheduler = First { faults: [2, 1] };
    let platform = doubling(Platform::builder().scheduler(scheduler)).await;
    let four = faas::core::Payload::json(&4).expect("JSON");
    let cold = platform.run("double", four).await.expect("it runs");
    assert_eq!(cold.payload.to_json::<u64>().expect("a number"), 8);
}
