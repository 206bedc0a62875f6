//! Workloads: the desired state of one revision, as the resource manager keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use faas_core::{DecisionId, Digest, Error, Name, NodeName, Result, SandboxId, WorkloadId};
use serde::{Deserialize, Serialize};

use crate::agent::SandboxPhase;
use crate::endpoint::Endpoint;
use crate::spec::SandboxSpec;

/// What is wanted: a sandbox spec, where its replicas may go, and how many there may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkloadSpec {
    /// Which workload.
    pub id: WorkloadId,
    /// Each replica.
    pub sandbox: SandboxSpec,
    /// Never fewer running replicas; kept through restarts.
    pub min: u32,
    /// Never more replicas in any state.
    pub max: u32,
    /// Where replicas may go.
    pub rules: PlacementRules,
    /// Who is preempted for whom: higher stays.
    pub priority: Priority,
}

impl WorkloadSpec {
    /// A workload that scales from zero to 1,000 and may go anywhere.
    pub fn new(id: WorkloadId, sandbox: SandboxSpec) -> Self {
        let rules = PlacementRules::default();
        Self {
            id,
            sandbox,
            min: 0,
            max: 1000,
            rules,
            priority: Priority::default(),
        }
    }

    /// Checks the spec at the door.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault.
    pub fn validate(&self) -> Result<()> {
        let mut faults = Vec::new();
        if let Err(error) = self.sandbox.validate() {
            faults.push(error.message().to_owned());
        }
        if self.max == 0 || self.min > self.max {
            faults.push(format!(
                "bounds {}..={} hold no replica",
                self.min, self.max
            ));
        }
        Error::check("apply workload", faults)
    }

    /// What makes a replica one of this spec and not of another: its sandbox and where it may go.
    /// Bounds and priority are not in it, so changing them replaces nobody.
    ///
    /// # Errors
    /// `InvalidArgument` for a spec that has no form in JSON, which [`validate`](Self::validate)
    /// would have refused.
    pub fn digest(&self) -> Result<Digest> {
        // What is added to these later is to be left out of their JSON where it says nothing, or
        // the next release replaces every sandbox that it adopts.
        let bytes = serde_json::to_vec(&(&self.sandbox, &self.rules)).map_err(|error| {
            let message = format!("workload {} has no form in JSON: {error}", self.id);
            Error::invalid("digest workload", message).with_source(error)
        })?;
        Ok(Digest::of(&bytes))
    }
}

/// Who is preempted for whom.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Priority(pub i32);

/// Where replicas may go. The constraints are Marathon's; affinity and taints are Kubernetes'.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PlacementRules {
    /// All must hold.
    pub constraints: Vec<Constraint>,
    /// Taints that do not keep it away.
    pub tolerates: BTreeSet<Name>,
    /// Nodes with these labels are preferred.
    pub prefers: BTreeMap<Name, Name>,
    /// Workloads to be near to (on the same node), as a preference.
    pub near: BTreeSet<WorkloadId>,
    /// Workloads never to share a node with.
    pub apart: BTreeSet<WorkloadId>,
}

/// One rule over the label of a node; the label `node` is every node's own name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Constraint {
    /// At most one replica per value of the label.
    Unique(Name),
    /// Only where the label has this value.
    Cluster(Name, Name),
    /// Spread evenly over the values of the label.
    GroupBy(Name),
    /// Only where the label's value matches one of these.
    Like(Name, BTreeSet<Name>),
    /// Not where the label's value matches one of these.
    Unlike(Name, BTreeSet<Name>),
    /// At most so many replicas per value of the label.
    MaxPer(Name, u32),
}

/// How many replicas, in which state, and who goes first. Soft state: it is rebuilt from demand
/// after a crash.
///
/// What is to run comes first when the workload's bound leaves room for less, then what is to be
/// paused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScaleRequest {
    /// Which workload.
    pub workload: WorkloadId,
    /// How many are to run.
    pub running: u32,
    /// How many more are to be ready but paused.
    pub paused: u32,
    /// How many more are to be created but not started.
    pub created: u32,
    /// Those that go, whatever the counts; they are replaced where the counts want it.
    pub retiring: Vec<SandboxId>,
    /// The decision that led to this.
    pub caused_by: Option<DecisionId>,
}

impl ScaleRequest {
    /// So many running replicas, and no others.
    pub fn running(workload: WorkloadId, running: u32) -> Self {
        Self {
            workload,
            running,
            paused: 0,
            created: 0,
            retiring: Vec::new(),
            caused_by: None,
        }
    }
}

/// Where the time of a sandbox's start went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StartTimes {
    /// From the request to the placement.
    pub place: Duration,
    /// In the hook.
    pub prepare: Duration,
    /// In the node agent.
    pub start: Duration,
}

/// A replica.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Replica {
    /// Its sandbox.
    pub sandbox: SandboxId,
    /// Where it is.
    pub node: NodeName,
    /// Where it stands.
    pub phase: SandboxPhase,
    /// How to reach it, while it runs.
    pub endpoint: Option<Endpoint>,
    /// Where the time of its start went.
    pub times: StartTimes,
    /// The decision that placed it, or whatever else led to it.
    pub caused_by: Option<DecisionId>,
}

impl Replica {
    /// A replica that is not reachable yet.
    pub fn new(sandbox: SandboxId, node: NodeName, phase: SandboxPhase) -> Self {
        let times = StartTimes::default();
        Self {
            sandbox,
            node,
            phase,
            endpoint: None,
            times,
            caused_by: None,
        }
    }
}

/// A workload: what is wanted and what is there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkloadStatus {
    /// What is wanted.
    pub spec: std::sync::Arc<WorkloadSpec>,
    /// How many running replicas are wanted now.
    pub wanted: u32,
    /// How many paused ones.
    pub paused: u32,
    /// How many created ones.
    pub created: u32,
    /// What is there.
    pub replicas: Vec<Replica>,
    /// Why what is wanted is not there yet.
    pub waiting: Option<Error>,
}

impl WorkloadStatus {
    /// A workload without replicas.
    pub fn new(spec: std::sync::Arc<WorkloadSpec>) -> Self {
        Self {
            spec,
            wanted: 0,
            paused: 0,
            created: 0,
            replicas: Vec::new(),
            waiting: None,
        }
    }
}

/// What happened to a workload.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WorkloadEvent {
    /// A replica runs and can be reached.
    Ready(WorkloadId, Replica),
    /// A replica stands by, paused or created: it cannot be reached before it is `Ready`.
    Pooled(WorkloadId, Replica),
    /// A replica is about to be stopped or paused: give it no more work.
    Retiring(WorkloadId, SandboxId),
    /// A replica has ended, is lost with its node, or (its phase then still is `In` a state) has
    /// been assigned to another workload.
    Gone(WorkloadId, Replica),
    /// No replica can be started now; it is tried again whenever something changes.
    Waiting(WorkloadId, Error),
    /// The workload is removed, and all of its replicas.
    Removed(WorkloadId),
    /// Events may be missing: list again.
    Resync,
}
