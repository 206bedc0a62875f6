//! An autoscaler of one's own (F6): two instances of whatever is asked for.

use bytes::Bytes;
use faas::Platform;
use faas::core::explain::Reason;
use faas::core::{Component, Description, Monotonic, PolicyContext, Result};
use faas::function::FunctionAutoscaler;
use faas::function::autoscaler::{Fleet, FleetChange, ScaleDecision};
use faas::resource::ResourceManager;

use crate::{Asked, double, doubling, names};

const PAIR: Reason = Reason::new("pair", "functions come in pairs");

struct Pairs;

impl FunctionAutoscaler for Pairs {
    fn observe(&mut self, _: &mut PolicyContext, _: &FleetChange) {}

    fn decide(&mut self, _: &mut PolicyContext, fleet: &Fleet) -> Vec<ScaleDecision> {
        let asked = fleet
            .revisions
            .iter()
            .filter(|(_, load)| load.queued + load.running > 0 && load.ready + load.starting != 2);
        let pair = |(id, _): (&_, _)| ScaleDecision::new(Clone::clone(id), 2, PAIR);
        asked.map(pair).collect()
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
        Description::new("Pairs").provides(Component::F6)
    }
}

/// Panics the first few times that it is asked for a decision.
struct Shaky {
    panics: u32,
    asked: Asked,
}

impl FunctionAutoscaler for Shaky {
    fn observe(&mut self, context: &mut PolicyContext, change: &FleetChange) {
        Pairs.observe(context, change);
    }
    fn decide(&mut self, context: &mut PolicyContext, fleet: &Fleet) -> Vec<ScaleDecision> {
        self.asked.again();
        if let Some(left) = self.panics.checked_sub(1) {
            self.panics = left;
            panic!("not today");
        }
        Pairs.decide(context, fleet)
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
        Description::new("Shaky").provides(Component::F6)
    }
}

#[tokio::test]
async fn one_that_panics_is_asked_again() {
    let asked = Asked::default();
    let shaky = Shaky {
        panics: 5,
        asked: asked.clone(),
    };
    let platform = doubling(Platform::builder().autoscaler(shaky)).await;
    assert_eq!(double(&platform, 4).await, 8);
    assert!(asked.times() > 5, "asked {} times", asked.times());
}

#[tokio::test]
async fn it_says_how_many_there_are() {
    let platform = doubling(Platform::builder().autoscaler(Pairs)).await;
    names(&platform, Component::F6, "Pairs");
    assert_eq!(double(&platform, 4).await, 8);
    let workloads = platform.resources().manager().list().await;
    let workloads = workloads.expect("it lists");
    assert_eq!(workloads[0].wanted, 2);
}
