//! The suite catches a manager that breaks any one rule: each of these breaks one, and the case of
//! that name fails against it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::store::{Key, Space};
use faas_core::{Description, Error, ErrorKind, Result, SandboxId, Store, WorkloadId};
use faas_resource::agent::{ExitCause, SandboxPhase, SandboxState};
use faas_resource::hook::{Cookie, Prepared, Reach, ReachKind};
use faas_resource::manager::Capacity;
use faas_resource::manager::conformance::{CASES, Fixture, Recorder};
use faas_resource::workload::{ScaleRequest, WorkloadEvent, WorkloadStatus};
use faas_resource::{Hooks, ResourceManager, SandboxHook, WorkloadSpec};
use futures::stream::{self, BoxStream, StreamExt};

use crate::flaky::{Flaky, NodeFault};
use crate::suite::Ground;

/// What a [`Broken`] manager, or what it is built over, does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    StoresNothing,
    ReplacesForBounds,
    KeepsOutdated,
    TellsHalf,
    StartsOneMore,
    IgnoresMax,
    NeverPromotes,
    ForgetsStates,
    AsksStore,
    ForgetsRetiring,
    AssignsNothing,
    AssignRetires,
    AssignTakesAll,
    HidesEnds,
    NeverLosesNodes,
    NeverGivesUpStarts,
    ForgetsAfterRestart,
    AdoptsOutdated,
    RemovesLater,
    KnowsEverybody,
    HidesGone,
    PreparesNothing,
    ReleasesNothing,
    WaitsSilently,
}

struct Broken {
    inner: Arc<dyn ResourceManager>,
    ground: Ground,
    fault: Fault,
    removed: tokio::sync::broadcast::Sender<WorkloadId>,
    applied: Mutex<u32>,
}

impl Broken {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    async fn known(&self, id: WorkloadId) -> Option<WorkloadStatus> {
        self.inner.get(id).await.ok()
    }

    /// Of a workload, those that stand by.
    async fn pooled(&self, id: WorkloadId) -> Vec<SandboxId> {
        let runs = SandboxPhase::In(SandboxState::Running);
        let known = self.known(id).await;
        let replicas = known.into_iter().flat_map(|known| known.replicas);
        let pooled = replicas.filter(|replica| replica.phase != runs);
        pooled.map(|replica| replica.sandbox).collect()
    }
}

#[async_trait]
impl ResourceManager for Broken {
    async fn apply(&self, mut spec: WorkloadSpec) -> Result<()> {
        let known = self.known(spec.id).await;
        match (self.fault, known) {
            (Fault::ReplacesForBounds, Some(_)) => {
                let count = {
                    let mut applied = self.applied.lock().expect("no panic");
                    *applied += 1;
                    applied.to_string()
                };
                spec.sandbox.environment.insert("COUNT".into(), count);
            }
            (Fault::KeepsOutdated, Some(known)) => spec.sandbox = known.spec.sandbox.clone(),
            (Fault::IgnoresMax, _) => spec.max = spec.max.saturating_mul(2),
            (Fault::AdoptsOutdated, _) => {
                let digest = spec.digest()?;
                for node in &self.ground.nodes {
                    let mut present = node.present.lock().expect("no panic");
                    present.insert(spec.id, digest);
                }
            }
            _ => {}
        }
        self.inner.apply(spec).await.map_err(|error| {
            if self.is(Fault::TellsHalf) {
                return Error::invalid("apply workload", "A=B is no name");
            }
            error
        })
    }

    async fn scale(&self, mut request: ScaleRequest) -> Result<()> {
        let pooled = self.pooled(request.workload).await;
        match self.fault {
            Fault::StartsOneMore => request.running += 1,
            Fault::NeverPromotes => request.retiring.extend(pooled),
            Fault::ForgetsStates => (request.paused, request.created) = (0, 0),
            Fault::ForgetsRetiring => request.retiring.clear(),
            Fault::AsksStore => {
                let space = Space::unwatched("workloads");
                self.ground.store.get(&space, &Key::new("any")).await?;
            }
            _ => {}
        }
        let scaled = self.inner.scale(request).await;
        scaled.or_else(|error| self.forgive(error))
    }

    async fn assign(&self, sandbox: SandboxId, workload: WorkloadId) -> Result<()> {
        if self.is(Fault::AssignsNothing) {
            self.inner.get(workload).await?;
            return Ok(());
        }
        let assigned = self.inner.assign(sandbox, workload).await;
        if self.is(Fault::AssignRetires) && assigned.is_ok() {
            let mut request = ScaleRequest::running(workload, 1);
            request.retiring = vec![sandbox];
            self.inner.scale(request).await?;
        }
        match assigned {
            Err(error) if error.kind() == ErrorKind::InvalidArgument => {
                if self.is(Fault::AssignTakesAll) {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            other => other.or_else(|error| self.forgive(error)),
        }
    }

    async fn remove(&self, workload: WorkloadId) -> Result<()> {
        if self.is(Fault::RemovesLater) {
            // An error means that nobody watches.
            let _ = self.removed.send(workload);
            return Ok(());
        }
        self.inner.remove(workload).await
    }

    async fn get(&self, workload: WorkloadId) -> Result<WorkloadStatus> {
        self.inner.get(workload).await
    }

    async fn list(&self) -> Result<Vec<WorkloadStatus>> {
        self.inner.list().await
    }

    fn watch(&self) -> BoxStream<'static, WorkloadEvent> {
        let fault = self.fault;
        let hidden = move |event: &WorkloadEvent| match event {
            WorkloadEvent::Gone(..) => fault == Fault::HidesGone,
            WorkloadEvent::Waiting(..) => fault == Fault::WaitsSilently,
            _ => false,
        };
        let events = self.inner.watch();
        let events = events.filter(move |event| std::future::ready(!hidden(event)));
        let removed = stream::unfold(self.removed.subscribe(), |mut removed| async move {
            let id = removed.recv().await.ok()?;
            Some((WorkloadEvent::Removed(id), removed))
        });
        stream::select(events, removed).boxed()
    }

    async fn capacity(&self) -> Result<Capacity> {
        self.inner.capacity().await
    }

    fn hooks(&self) -> Option<Hooks> {
        self.inner.hooks()
    }

    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

impl Broken {
    fn forgive(&self, error: Error) -> Result<()> {
        if self.is(Fault::KnowsEverybody) && error.kind() == ErrorKind::NotFound {
            return Ok(());
        }
        Err(error)
    }
}

/// Forgets to pass on half of what it is told.
struct Deaf {
    inner: Arc<Recorder>,
    fault: Fault,
}

#[async_trait]
impl SandboxHook for Deaf {
    fn needs(&self) -> Vec<ReachKind> {
        self.inner.needs()
    }
    async fn prepare(&self, sandbox: SandboxId, reach: Option<Reach>) -> Result<Prepared> {
        if self.fault == Fault::PreparesNothing {
            return Ok(Prepared::default());
        }
        self.inner.prepare(sandbox, reach).await
    }
    async fn resume(
        &self,
        sandbox: SandboxId,
        reach: Option<Reach>,
        cookie: &Cookie,
    ) -> Result<()> {
        self.inner.resume(sandbox, reach, cookie).await
    }
    async fn release(&self, sandbox: SandboxId, end: &ExitCause) {
        if self.fault != Fault::ReleasesNothing {
            self.inner.release(sandbox, end).await;
        }
    }
}

fn nodes(fault: Fault) -> Vec<Arc<Flaky>> {
    let node = |name| {
        let mut node = Flaky::new(name);
        node.plain = fault == Fault::ForgetsStates;
        node.fault = match fault {
            Fault::HidesEnds => NodeFault::HidesEnds,
            Fault::ForgetsAfterRestart => NodeFault::Forgets,
            Fault::AdoptsOutdated => NodeFault::LiesAboutDigests,
            _ => NodeFault::None,
        };
        Arc::new(node)
    };
    ["one", "two"].map(node).into()
}

async fn fixture(fault: Fault) -> Fixture {
    let mut ground = Ground::new();
    ground.nodes = nodes(fault);
    let inner = ground.recorder.clone();
    ground.hook = Arc::new(Deaf { inner, fault });
    ground.nodes_lost_after = match fault {
        Fault::NeverLosesNodes => Duration::from_secs(1 << 20),
        _ => ground.nodes_lost_after,
    };
    ground.starts_bounded_by = match fault {
        Fault::NeverGivesUpStarts => Duration::from_secs(1 << 20),
        _ => ground.starts_bounded_by,
    };
    ground.forgetful = fault == Fault::StoresNothing;
    let over = ground.clone();
    let broken = move |inner| -> Arc<dyn ResourceManager> {
        Arc::new(Broken {
            inner,
            ground: over.clone(),
            fault,
            removed: tokio::sync::broadcast::Sender::new(16),
            applied: Mutex::default(),
        })
    };
    ground.fixture(broken).await
}

/// Whether the case of that name passes; a hang is none.
async fn passes(name: &str, fault: Fault) -> bool {
    let (_, case) = CASES
        .iter()
        .find(|(case, _)| *case == name)
        .expect("a case of that name");
    let case = case(fixture(fault).await);
    tokio::spawn(case).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn the_unbroken_passes() {
    for (name, _) in CASES {
        assert!(passes(name, Fault::None).await, "{name}");
    }
}

faas_core::suite_catches! {
    CASES, passes, Fault;
    apply_is_durable: StoresNothing;
    apply_replaces: ReplacesForBounds KeepsOutdated;
    apply_validates: TellsHalf;
    scale_converges: StartsOneMore IgnoresMax;
    scale_promotes: NeverPromotes;
    scale_states: ForgetsStates;
    scale_is_soft: AsksStore;
    retiring_go: ForgetsRetiring;
    assign_specialises: AssignsNothing AssignRetires;
    assign_refuses: AssignTakesAll;
    replaces_the_dead: HidesEnds;
    replaces_the_lost: NeverLosesNodes;
    starts_are_bounded: NeverGivesUpStarts;
    starts_nothing_twice: ForgetsAfterRestart;
    adopts_the_present: AdoptsOutdated;
    remove_leaves_nothing: RemovesLater;
    unknown_workload: KnowsEverybody;
    watch_pushes: HidesGone;
    hook_before_start: PreparesNothing ReleasesNothing;
    waiting_is_explained: WaitsSilently;
}
