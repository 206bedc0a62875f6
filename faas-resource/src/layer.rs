//! [`ResourceLayer`]: the four components, wired.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::explain::DecisionLog;
use faas_core::{
    Clock, Description, Error, HookName, IdSource, MemoryStore, NodeName, Result, Store, TokioClock,
};

use crate::agent::{NodeInfo, SandboxState};
use crate::hook::{Hooks, SandboxHook};
use crate::manager::ClusterManager;
use crate::manager::cluster::{Bounds, ClusterParts};
use crate::{NamingService, NodeAgent, ResourceManager, ResourceScheduler};

/// A node is asked four times within the time that it may be silent, and not more often than
/// every millisecond.
const SHORTEST_SILENCE: Duration = Duration::from_millis(4);

/// The resource layer, running.
#[derive(Clone)]
pub struct ResourceLayer {
    manager: Arc<dyn ResourceManager>,
    /// Ours to shut down; none where the whole layer is delegated.
    cluster: Option<Arc<ClusterManager>>,
    decisions: DecisionLog,
    parts: Vec<Description>,
}

impl fmt::Debug for ResourceLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceLayer")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl ResourceLayer {
    /// With what has a default: a volatile store and tokio's clock. Agents and a scheduler have
    /// none.
    pub fn builder() -> ResourceLayerBuilder {
        ResourceLayerBuilder::default()
    }

    /// R2.
    pub fn manager(&self) -> &Arc<dyn ResourceManager> {
        &self.manager
    }

    /// Where the decisions go.
    pub fn decisions(&self) -> &DecisionLog {
        &self.decisions
    }

    /// Its parts, for the component map.
    pub fn describe(&self) -> Vec<Description> {
        self.parts.clone()
    }

    /// As [`ClusterManager::shutdown`]. A manager that was given is its owner's to end, and what it
    /// runs stays.
    ///
    /// # Errors
    /// As [`ClusterManager::shutdown`].
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        match &self.cluster {
            Some(cluster) => cluster.shutdown(deadline).await,
            None => Ok(()),
        }
    }
}

/// Builds a [`ResourceLayer`].
#[must_use]
pub struct ResourceLayerBuilder {
    manager: Option<Arc<dyn ResourceManager>>,
    agents: Vec<Arc<dyn NodeAgent>>,
    scheduler: Option<Box<dyn ResourceScheduler>>,
    store: Option<Arc<dyn Store>>,
    naming: Option<Arc<dyn NamingService>>,
    hooks: Vec<(HookName, Arc<dyn SandboxHook>)>,
    clock: Option<Arc<dyn Clock>>,
    ids: Option<IdSource>,
    decisions: Option<DecisionLog>,
    bounds: Bounds,
}

impl Default for ResourceLayerBuilder {
    fn default() -> Self {
        Self {
            manager: None,
            agents: Vec::new(),
            scheduler: None,
            store: None,
            naming: None,
            hooks: Vec::new(),
            clock: None,
            ids: None,
            decisions: None,
            bounds: Bounds {
                starts: 64,
                events: 4096,
                start: Duration::from_secs(120),
                silence: Duration::from_secs(30),
            },
        }
    }
}

impl fmt::Debug for ResourceLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceLayerBuilder")
            .field("agents", &self.agents.len())
            .finish_non_exhaustive()
    }
}

impl ResourceLayerBuilder {
    /// Delegates the whole layer to another manager (R2): agents, scheduler, naming and hooks are
    /// its own then, and none is to be given here.
    pub fn manager(mut self, manager: Arc<dyn ResourceManager>) -> Self {
        self.manager = Some(manager);
        self
    }

    /// Adds a node (R4); at least one is needed.
    pub fn agent(mut self, agent: Arc<dyn NodeAgent>) -> Self {
        self.agents.push(agent);
        self
    }

    /// Who places (R3); needed.
    pub fn scheduler(mut self, scheduler: impl ResourceScheduler) -> Self {
        self.scheduler = Some(Box::new(scheduler));
        self
    }

    /// Where workloads are stored; a volatile store unless it is given.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Where endpoints are bound (R1); nowhere unless it is given.
    pub fn naming(mut self, naming: Arc<dyn NamingService>) -> Self {
        self.naming = Some(naming);
        self
    }

    /// Offers a hook to the specs that name it.
    pub fn hook(mut self, name: HookName, hook: Arc<dyn SandboxHook>) -> Self {
        self.hooks.push((name, hook));
        self
    }

    /// Who tells the time; tokio unless it is given.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Who makes ids; a random source unless it is given.
    pub fn ids(mut self, ids: IdSource) -> Self {
        self.ids = Some(ids);
        self
    }

    /// Where decisions go; a log of its own unless it is given.
    pub fn decisions(mut self, decisions: DecisionLog) -> Self {
        self.decisions = Some(decisions);
        self
    }

    /// How many sandboxes are prepared and started at once: 64 unless it is given.
    pub fn concurrent_starts(mut self, starts: usize) -> Self {
        self.bounds.starts = starts;
        self
    }

    /// How many events a watcher may fall behind before it has to list again: 4,096 unless it is
    /// given.
    pub fn event_buffer(mut self, events: usize) -> Self {
        self.bounds.events = events;
        self
    }

    /// How long one start may take, from the hook's preparation until the sandbox runs, before it
    /// has failed and is tried again: 120 s unless it is given. It bounds each other thing that is
    /// asked of a node for a sandbox, too.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.start = timeout;
        self
    }

    /// How long a node may leave its list unanswered before it is lost, and its replicas are
    /// replaced elsewhere: 30 s unless it is given. It is asked for it four times as often.
    pub fn node_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.silence = timeout;
        self
    }

    /// Everything that is wrong with what was given so far, one sentence each; empty if
    /// [`build`](Self::build) will take it. So whoever assembles several layers can report the
    /// faults of all of them together, before any of them starts.
    ///
    /// It asks each agent for its description ([`NodeAgent::node`]) and starts nothing.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.manager.is_some() {
            faults.extend(self.idle_parts());
        } else {
            if self.agents.is_empty() {
                faults.push("there is no node agent".into());
            }
            if self.scheduler.is_none() {
                faults.push("there is no scheduler".into());
            }
        }
        if self.bounds.starts == 0 {
            faults.push("no sandbox may ever start".into());
        }
        if self.bounds.events == 0 {
            faults.push("the event buffer holds nothing".into());
        }
        if self.bounds.start.is_zero() {
            faults.push("a start may take no time".into());
        }
        if self.bounds.silence < SHORTEST_SILENCE {
            faults.push(format!("a node is lost before {SHORTEST_SILENCE:?}"));
        }
        let nodes: Vec<_> = self.agents.iter().map(|agent| agent.node()).collect();
        let names = nodes.iter().map(|node| node.name.clone());
        faults.extend(repeated(names).map(|name| format!("two nodes are called {name}")));
        faults.extend(nodes.iter().flat_map(node_faults));
        let hooks = self.hooks.iter().map(|(name, _)| name.clone());
        faults.extend(repeated(hooks).map(|name| format!("two hooks are called {name}")));
        faults
    }

    /// What a given manager would never use.
    fn idle_parts(&self) -> impl Iterator<Item = String> {
        let given = [
            ("agents", !self.agents.is_empty()),
            ("a scheduler", self.scheduler.is_some()),
            ("a naming service", self.naming.is_some()),
            ("hooks", !self.hooks.is_empty()),
        ];
        let given = given.into_iter().filter(|(_, given)| *given);
        given.map(|(part, _)| {
            format!("the resource manager brings its own parts, and {part} would not be used")
        })
    }

    /// Loads the workloads, adopts what runs, and begins to manage.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault of the assembly; those of the store.
    pub async fn build(self) -> Result<ResourceLayer> {
        const OPERATION: &str = "build resource layer";
        Error::check(OPERATION, self.faults())?;
        if let Some(manager) = self.manager {
            let clock = self.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
            let ids = self.ids.unwrap_or_else(|| IdSource::random(clock.clone()));
            let fresh = || DecisionLog::new(clock.clone(), ids.clone());
            return Ok(ResourceLayer {
                parts: vec![manager.describe()],
                cluster: None,
                decisions: self.decisions.unwrap_or_else(fresh),
                manager,
            });
        }
        let Some(scheduler) = self.scheduler else {
            return Err(Error::invalid(OPERATION, "there is no scheduler"));
        };
        let clock = self.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
        let ids = self.ids.unwrap_or_else(|| IdSource::random(clock.clone()));
        let fresh = || DecisionLog::new(clock.clone(), ids.clone());
        let decisions = self.decisions.unwrap_or_else(fresh);
        let mut parts = vec![scheduler.describe()];
        parts.extend(self.naming.iter().map(|naming| naming.describe()));
        parts.extend(self.agents.iter().map(|agent| agent.describe()));
        let named = |agent: Arc<dyn NodeAgent>| (agent.node().name, agent);
        let agents: BTreeMap<NodeName, _> = self.agents.into_iter().map(named).collect();
        let mut hooks = Hooks::new();
        for (name, hook) in self.hooks {
            hooks.register(name, hook);
        }
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let manager = ClusterManager::spawn(ClusterParts {
            agents,
            scheduler,
            store,
            naming: self.naming,
            hooks,
            clock,
            ids,
            decisions: decisions.clone(),
            bounds: self.bounds,
        })
        .await?;
        parts.insert(0, manager.describe());
        let cluster = Arc::new(manager);
        Ok(ResourceLayer {
            manager: cluster.clone(),
            cluster: Some(cluster),
            decisions,
            parts,
        })
    }
}

/// Why a node could never hold a running sandbox.
fn node_faults(node: &NodeInfo) -> Vec<String> {
    let name = &node.name;
    let mut faults = Vec::new();
    if node.executables.is_empty() {
        faults.push(format!("node {name} runs no kind of executable"));
    }
    if !node.states.contains(&SandboxState::Running) {
        faults.push(format!("node {name} can bring no sandbox to run"));
    }
    faults
}

/// Those that come more than once.
fn repeated<T: Ord + Clone>(names: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let mut seen = std::collections::BTreeSet::new();
    names.filter(move |name| !seen.insert(name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_faults_are_told_at_once_with_and_without_building() {
        let builder = ResourceLayer::builder()
            .concurrent_starts(0)
            .event_buffer(0);
        let faults = builder.faults();
        assert_eq!(faults.len(), 4, "{faults:?}");
        let error = builder.build().await.expect_err("it has faults");
        assert_eq!(error.kind(), faas_core::ErrorKind::InvalidArgument);
        for fault in faults {
            assert!(error.message().contains(&fault), "{error} lacks {fault}");
        }
    }
}
