//! The default scheduler keeps the contract, and never over-commits whatever it is given.

use faas_core::explain::Reason;
use faas_core::{Monotonic, PolicyContext, SeededRandom};
use faas_resource::ResourceScheduler;
use faas_resource::scheduler::conformance::world::{
    carried_out, cluster, draw, name, node, node_name, placed, placed_of, replicas, workload,
};
use faas_resource::scheduler::filter_score::{Filter, Scene};
use faas_resource::scheduler::{
    ClusterChange, ClusterView, FilterScore, NodeView, Placement, PlacementRequest,
};
use faas_resource::workload::{Constraint, PlacementRules, WorkloadSpec};
use proptest::prelude::*;

mod least_allocated {
    use faas_resource::scheduler::FilterScore;
    faas_resource::resource_scheduler_conformance!(FilterScore::new);
}

mod bin_packing {
    use faas_resource::scheduler::FilterScore;
    faas_resource::resource_scheduler_conformance!(FilterScore::bin_packing);
}

mod sampling {
    use faas_resource::scheduler::FilterScore;
    faas_resource::resource_scheduler_conformance!(|| FilterScore::new().comparing(2));
}

fn ask(
    mut scheduler: FilterScore,
    cluster: &ClusterView,
    batch: &[PlacementRequest],
) -> Vec<Placement> {
    let mut context = PolicyContext::new(Monotonic::ZERO, SeededRandom::new(1));
    scheduler.schedule(&mut context, cluster, batch)
}

proptest! {
    #[test]
    fn never_overcommits(seed: u64, comparing in 1usize..5) {
        let (cluster, batch) = draw(seed);
        let answers = ask(FilterScore::new().comparing(comparing), &cluster, &batch);
        let after = carried_out(&cluster, &batch, &answers);
        for node in after.nodes().values() {
            prop_assert!(node.info.capacity.covers(&node.allocated));
        }
    }

    #[test]
    fn is_deterministic(seed: u64) {
        let (cluster, batch) = draw(seed);
        let answers = || format!("{:?}", ask(FilterScore::new(), &cluster, &batch));
        prop_assert_eq!(answers(), answers());
    }

    #[test]
    fn nobody_is_refused_while_there_is_room(seed: u64) {
        let (cluster, batch) = draw(seed);
        let answers = ask(FilterScore::new(), &cluster, &batch);
        let after = carried_out(&cluster, &batch, &answers);
        // Who was preempted may leave more room than was needed, after others were refused.
        let preempted = answers.iter().any(|answer| {
            matches!(answer, Placement::On { preempts, .. } if !preempts.is_empty())
        });
        for (request, answer) in batch.iter().zip(&answers) {
            if matches!(answer, Placement::Unschedulable { .. }) {
                let needs = &request.workload.sandbox.resources;
                let fits = after.nodes().values().any(|node| {
                    node.info.capacity.covers(&node.allocated.clone().plus(needs))
                });
                prop_assert!(!fits || preempted, "{} are refused", needs);
            }
        }
    }
}

/// The node takes no more.
fn close(cluster: &mut ClusterView, number: u64) {
    let info = cluster.nodes()[&node_name(number)].info.clone();
    cluster.apply(&ClusterChange::Node(info, false));
}

/// A sandbox of the workload is on the node.
fn place(cluster: &mut ClusterView, number: u64, id: u128, spec: &WorkloadSpec) {
    let change = ClusterChange::Placed(node_name(number), id.into(), placed_of(spec));
    cluster.apply(&change);
}

#[test]
fn the_least_allocated_node_is_taken_and_the_fullest_when_packing() {
    let spec = workload(1, 1, PlacementRules::default(), 0);
    let mut cluster = cluster((0..2).map(|number| node(number, 8)));
    let other = workload(2, 4, PlacementRules::default(), 0);
    place(&mut cluster, 0, 7, &other);
    let went = |scheduler| match &ask(scheduler, &cluster, &replicas(&spec, 1, 1))[0] {
        Placement::On { node, .. } => node.clone(),
        refused => panic!("{refused:?}"),
    };
    assert_eq!(went(FilterScore::new()), node_name(1));
    assert_eq!(went(FilterScore::bin_packing()), node_name(0));
}

#[test]
fn preferences_outweigh_free_room() {
    let mut rules = PlacementRules::default();
    rules.prefers.insert(name("zone"), name("zone-2"));
    let cluster = cluster((0..4).map(|number| node(number, 8)));
    let batch = replicas(&workload(1, 1, rules, 0), 1, 3);
    for answer in ask(FilterScore::new(), &cluster, &batch) {
        assert!(matches!(answer, Placement::On { node, .. } if node == node_name(2)));
    }
}

#[test]
fn the_mildest_preemption_is_chosen() {
    let spec = |id, priority| workload(id, 1, PlacementRules::default(), priority);
    let mut cluster = cluster((0..2).map(|number| node(number, 1)));
    for (number, priority) in [(0, 3), (1, 2)] {
        let id = u128::from(number);
        place(&mut cluster, number, id, &spec(id, priority));
    }
    let answers = ask(FilterScore::new(), &cluster, &replicas(&spec(9, 4), 100, 3));
    let preempted: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            Placement::On { preempts, .. } => Some(preempts.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(preempted, [vec![1.into()], vec![0.into()]]);
}

#[test]
fn refusals_are_summed_up_by_cause() {
    let mut cluster = cluster((0..150).map(|number| node(number, 1)));
    for number in 0..20 {
        close(&mut cluster, number);
    }
    let batch = replicas(&workload(1, 2, PlacementRules::default(), 0), 1, 1);
    let answers = ask(FilterScore::new(), &cluster, &batch);
    let Placement::Unschedulable { reasons, nodes } = &answers[0] else {
        panic!("{answers:?}");
    };
    assert_eq!(nodes.len(), 100);
    let codes: Vec<_> = reasons.iter().map(|reason| reason.code).collect();
    assert_eq!(codes, ["placement.room", "placement.closed"]);
    let text = reasons[0].to_string();
    assert!(text.starts_with("130 of 150 nodes refuse"), "{text}");
}

#[test]
fn a_closed_zone_does_not_hold_up_the_others() {
    let mut rules = PlacementRules::default();
    rules.constraints.push(Constraint::GroupBy(name("zone")));
    let mut cluster = cluster((0..3).map(|number| node(number, 8)));
    close(&mut cluster, 0);
    let batch = replicas(&workload(1, 1, rules, 0), 1, 4);
    assert_eq!(placed(&ask(FilterScore::new(), &cluster, &batch)), 4);
}

/// Counts how often it is asked, and refuses half of all nodes.
#[derive(Debug, Default, Clone)]
struct Half(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Filter for Half {
    fn refuses(&self, _: &PlacementRequest, node: &NodeView, _: &Scene<'_>) -> Option<Reason> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let odd = node.info.name.as_str().ends_with(['1', '3', '5', '7', '9']);
        odd.then_some(Reason::new("test.odd", "is odd"))
    }
}

#[test]
fn a_search_does_not_grow_with_the_nodes() {
    let cluster = cluster((0..10_000).map(|number| node(number, 8)));
    let half = Half::default();
    let scheduler = FilterScore::new().with_filter(half.clone());
    let batch = replicas(&workload(1, 1, PlacementRules::default(), 0), 1, 200);
    let answers = ask(scheduler, &cluster, &batch);
    assert_eq!(placed(&answers), 200);
    let asked = half.0.load(std::sync::atomic::Ordering::Relaxed);
    assert!(asked <= 200 * 201, "{asked} nodes looked at");
}
