//! The suite of `ResourceScheduler` catches a scheduler that breaks any one rule: each of these
//! breaks one, and the case of that name fails against it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use faas_core::explain::Reason;
use faas_core::{Description, Monotonic, PolicyContext, Result};
use faas_resource::ResourceScheduler;
use faas_resource::agent::{NodeInfo, SandboxState};
use faas_resource::scheduler::conformance::{CASES, Case, Fixture};
use faas_resource::scheduler::{
    ClusterChange, ClusterView, FilterScore, Placement, PlacementRequest,
};
use faas_resource::spec::ExecutableKind;
use faas_resource::workload::PlacementRules;

/// What a [`Broken`] scheduler does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Reverses,
    DropsOne,
    ForgetsBatch,
    IgnoresAllocated,
    IgnoresClosed,
    IgnoresKind,
    IgnoresReach,
    IgnoresState,
    IgnoresOnly,
    IgnoresAvoid,
    NeverGoesWhereItFailed,
    IgnoresConstraints,
    CountsNoBatch,
    IgnoresTaints,
    IgnoresApart,
    PreemptsAll,
    NoReasons,
    DependsOnCalls,
    SavesNothing,
    RestoresAnything,
    ForgetsOnBadState,
}

#[derive(Debug)]
struct Broken {
    inner: FilterScore,
    fault: Fault,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        Self {
            inner: FilterScore::new(),
            fault,
        }
    }

    fn mistaken_view(&self, cluster: &ClusterView) -> ClusterView {
        let mut mistaken = ClusterView::new();
        for (name, node) in cluster.nodes() {
            let mut info = NodeInfo::clone(&node.info);
            match self.fault {
                Fault::IgnoresKind => {
                    info.executables.insert(ExecutableKind::Handler);
                }
                Fault::IgnoresTaints => info.taints.clear(),
                _ => {}
            }
            let open = node.open || self.fault == Fault::IgnoresClosed;
            mistaken.apply(&ClusterChange::Node(Arc::new(info), open));
            if self.fault == Fault::IgnoresAllocated {
                continue;
            }
            for (id, placed) in &node.sandboxes {
                let change = ClusterChange::Placed(name.clone(), *id, placed.clone());
                mistaken.apply(&change);
            }
        }
        mistaken
    }

    fn mistaken_batch(&self, batch: &[PlacementRequest]) -> Vec<PlacementRequest> {
        let mut batch = batch.to_vec();
        for request in &mut batch {
            let rules: &mut PlacementRules = &mut Arc::make_mut(&mut request.workload).rules;
            match self.fault {
                Fault::IgnoresReach => request.reach.clear(),
                Fault::IgnoresState => request.state = SandboxState::Running,
                Fault::IgnoresOnly => request.only = None,
                Fault::IgnoresAvoid => request.avoid.clear(),
                Fault::IgnoresConstraints => rules.constraints.clear(),
                Fault::IgnoresApart => rules.apart.clear(),
                _ => {}
            }
        }
        batch
    }

    fn spoil(
        &self,
        cluster: &ClusterView,
        batch: &[PlacementRequest],
        answers: &mut Vec<Placement>,
    ) {
        match self.fault {
            Fault::Reverses => answers.reverse(),
            Fault::NeverGoesWhereItFailed => {
                for (request, answer) in batch.iter().zip(answers) {
                    let avoided = matches!(answer, Placement::On { node, .. }
                        if request.avoid.contains(node));
                    if avoided {
                        let reasons = vec![Reason::new("test.failed", "it failed there")];
                        let nodes = Vec::new();
                        *answer = Placement::Unschedulable { reasons, nodes };
                    }
                }
            }
            Fault::DropsOne => drop(answers.pop()),
            Fault::PreemptsAll => answers
                .iter_mut()
                .for_each(|answer| preempt_all(cluster, answer)),
            Fault::NoReasons => answers.iter_mut().for_each(|answer| {
                if let Placement::Unschedulable { reasons, .. } = answer {
                    reasons.clear();
                }
            }),
            _ => {}
        }
    }
}

/// Whoever makes room is joined by all others of the node.
fn preempt_all(cluster: &ClusterView, answer: &mut Placement) {
    if let Placement::On { node, preempts, .. } = answer
        && !preempts.is_empty()
    {
        *preempts = cluster.nodes()[node].sandboxes.keys().copied().collect();
    }
}

impl ResourceScheduler for Broken {
    fn observe(&mut self, change: &ClusterChange) {
        self.inner.observe(change);
    }

    fn schedule(
        &mut self,
        context: &mut PolicyContext,
        cluster: &ClusterView,
        batch: &[PlacementRequest],
    ) -> Vec<Placement> {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let (view, asked) = (self.mistaken_view(cluster), self.mistaken_batch(batch));
        let counts = asked
            .iter()
            .any(|r| !r.workload.rules.constraints.is_empty());
        let alone = match self.fault {
            Fault::ForgetsBatch => true,
            Fault::CountsNoBatch => counts,
            _ => false,
        };
        let mut answers: Vec<_> = if alone {
            let mut one = |request| {
                self.inner
                    .schedule(context, &view, std::slice::from_ref(request))
            };
            asked.iter().flat_map(&mut one).collect()
        } else {
            self.inner.schedule(context, &view, &asked)
        };
        if self.fault == Fault::DependsOnCalls && CALLS.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            answers = self.inner.schedule(context, &ClusterView::default(), batch);
        }
        self.spoil(cluster, batch, &mut answers);
        answers
    }

    fn wake_at(&self) -> Option<Monotonic> {
        self.inner.wake_at()
    }

    fn save(&self) -> Bytes {
        match self.fault {
            Fault::SavesNothing => FilterScore::new().save(),
            _ => self.inner.save(),
        }
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let restored = self.inner.restore(state);
        match self.fault {
            Fault::RestoresAnything => Ok(()),
            Fault::ForgetsOnBadState if restored.is_err() => {
                self.inner = FilterScore::new();
                restored
            }
            _ => restored,
        }
    }

    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

fn fixture(fault: Fault) -> Fixture {
    Fixture::new(move || Broken::new(fault))
}

fn case(rule: &str) -> Case {
    let found = CASES.iter().find(|(name, _)| *name == rule);
    found.unwrap_or_else(|| panic!("no case {rule}")).1
}

/// Fails unless the case of `rule` panics.
async fn caught(rule: &str, fault: Fault) {
    let result = tokio::spawn(case(rule)(fixture(fault))).await;
    let error = result.expect_err(&format!("{rule} does not catch {fault:?}"));
    assert!(error.is_panic(), "{error}");
}

macro_rules! caught {
    ($($rule:ident: $($fault:ident)*;)*) => {$(
        #[tokio::test]
        async fn $rule() {
            $(caught(stringify!($rule), Fault::$fault).await;)*
        }
    )*

        const CAUGHT: &[&str] = &[$(stringify!($rule)),*];
    };
}
caught! {
    answers_each: Reverses DropsOne;
    never_overcommits: ForgetsBatch IgnoresAllocated;
    respects_kind: IgnoresClosed IgnoresKind IgnoresReach IgnoresState IgnoresOnly;
    respects_rules: IgnoresConstraints CountsNoBatch IgnoresTaints IgnoresApart;
    preempts_only_lower: PreemptsAll;
    explains_refusals: NoReasons;
    avoids_failures: IgnoresAvoid NeverGoesWhereItFailed;
    deterministic: DependsOnCalls;
    save_restore: SavesNothing RestoresAnything ForgetsOnBadState;
}

#[tokio::test]
async fn a_wrapper_that_breaks_nothing_passes() {
    for (_, case) in CASES {
        case(fixture(Fault::None)).await;
    }
}

#[test]
fn every_case_has_a_scheduler_that_it_catches() {
    let cases: Vec<_> = CASES.iter().map(|(name, _)| *name).collect();
    assert_eq!(CAUGHT, cases);
}
