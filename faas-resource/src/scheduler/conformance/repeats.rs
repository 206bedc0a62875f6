//! That a scheduler can be replayed.

use faas_core::ErrorKind;

use super::world::{carried_out, cluster, draw, node, replicas, workload};
use super::{ClusterView, Fixture, ResourceScheduler, ask};
use crate::workload::PlacementRules;

/// "The same view, batch, history of changes and seed give the same answers."
pub async fn deterministic(fixture: Fixture) {
    for seed in 0..50 {
        let (cluster, batch) = draw(seed);
        let one = ask(&mut *fixture.fresh(), &cluster, &batch);
        let other = ask(&mut *fixture.fresh(), &cluster, &batch);
        assert_eq!(format!("{one:?}"), format!("{other:?}"), "seed {seed}");
    }
    let (mut one, mut other) = (fixture.fresh(), fixture.fresh());
    assert_eq!(history(&mut *one, 0), history(&mut *other, 0));
}

/// Answers to several batches on a cluster large enough not to be looked at as a whole.
fn history(scheduler: &mut dyn ResourceScheduler, from: u128) -> String {
    let mut cluster: ClusterView = cluster((0..300).map(|number| node(number, 4)));
    let mut told = String::new();
    for round in from..from + 5 {
        let mut rules = PlacementRules::default();
        if round % 2 == 0 {
            // Rules of one batch may bind a later one.
            rules
                .apart
                .extend([faas_core::WorkloadId::from_u128(round + 1)]);
        }
        let batch = replicas(&workload(round, 1, rules, 0), 100 * round, 7);
        let answers = ask(scheduler, &cluster, &batch);
        cluster = carried_out(&cluster, &batch, &answers);
        told += &format!("{answers:?}\n");
    }
    told
}

/// "A scheduler restored from what another saved decides as that one would."; "`restore` of bytes
/// that it did not save is `InvalidArgument`, and changes nothing".
pub async fn save_restore(fixture: Fixture) {
    let (mut one, mut other) = (fixture.fresh(), fixture.fresh());
    history(&mut *one, 0);
    let saved = one.save();
    other.restore(&saved).expect("what another saved");
    let error = other
        .restore(b"\0 never saved")
        .expect_err("bytes that nobody saved");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert_eq!(history(&mut *one, 10), history(&mut *other, 10));
}
