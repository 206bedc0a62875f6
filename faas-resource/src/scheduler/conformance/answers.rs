//! What a scheduler answers.

use faas_core::{Monotonic, PolicyContext, SeededRandom};

use super::world::{cluster, draw, name, node, node_name, replicas, workload};
use super::{Fixture, Placement, ask};
use crate::workload::{Constraint, PlacementRules};

/// "One answer per request, in the order of the requests."
pub async fn answers_each(fixture: Fixture) {
    let cluster = cluster((0..8).map(|number| node(number, 4)));
    let wanted = [3, 1, 99, 7, 0, 2];
    let batch: Vec<_> = wanted
        .iter()
        .flat_map(|number| {
            let mut rules = PlacementRules::default();
            let only = name(node_name(*number).as_str());
            rules
                .constraints
                .push(Constraint::Cluster(name("node"), only));
            // Priorities against the order must not show in it.
            let priority = i32::try_from(*number).unwrap_or(0);
            replicas(
                &workload(u128::from(*number), 1, rules, priority),
                u128::from(*number),
                1,
            )
        })
        .collect();
    let mut context = PolicyContext::new(Monotonic::ZERO, SeededRandom::new(1));
    let answers = fixture.fresh().schedule(&mut context, &cluster, &batch);
    assert_eq!(answers.len(), batch.len(), "answers to a batch");
    for (number, answer) in wanted.iter().zip(&answers) {
        match answer {
            Placement::On { node, .. } => assert_eq!(*node, node_name(*number), "{answers:?}"),
            Placement::Unschedulable { .. } => assert_eq!(*number, 99, "{answers:?}"),
        }
    }
    assert!(ask(&mut *fixture.fresh(), &cluster, &[]).is_empty());
}

/// "A refusal has at least one reason."
pub async fn explains_refusals(fixture: Fixture) {
    let big = workload(1, 64, PlacementRules::default(), 0);
    let empty = cluster([]);
    let small = cluster((0..5).map(|number| node(number, 4)));
    for cluster in [empty, small] {
        for answer in ask(&mut *fixture.fresh(), &cluster, &replicas(&big, 1, 3)) {
            explained(&answer);
            let refused = matches!(answer, Placement::Unschedulable { .. });
            assert!(refused, "64 cores fit nowhere: {answer:?}");
        }
    }
    for seed in 0..50 {
        let (cluster, batch) = draw(seed);
        let answers = ask(&mut *fixture.fresh(), &cluster, &batch);
        answers.iter().for_each(explained);
    }
}

fn explained(answer: &Placement) {
    if let Placement::Unschedulable { reasons, .. } = answer {
        assert!(!reasons.is_empty(), "a refusal without a reason");
        assert!(reasons.iter().all(|reason| !reason.to_string().is_empty()));
    }
}
