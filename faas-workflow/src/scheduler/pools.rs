//! [`Pools`]: at most so many at once of a kind.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use faas_core::encoding::{self, Stored};
use faas_core::{Component, Description, FunctionRef, Namespace, Result, TaskId, WorkflowName};
use serde::{Deserialize, Serialize};

use super::learned::pairs;
use super::{ReadyTask, Schedule, SchedulerChange, SchedulerContext, WorkflowScheduler};
use crate::content::Content;
use crate::program::{ResourceName, TaskTarget};

/// Which tasks belong to a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolMember {
    /// Those of this namespace.
    Namespace(Namespace),
    /// Those of this workflow.
    Workflow(Namespace, WorkflowName),
    /// Those that call this function, whatever revision of it.
    Function(FunctionRef),
    /// Those that name this resource.
    Resource(ResourceName),
}

impl PoolMember {
    fn has(&self, task: &ReadyTask) -> bool {
        match (self, &task.target) {
            (Self::Namespace(namespace), _) => *namespace == task.namespace,
            (Self::Workflow(namespace, name), _) => {
                *namespace == task.namespace && *name == task.workflow
            }
            (Self::Function(wanted), TaskTarget::Function(function)) => {
                wanted.namespace == function.namespace && wanted.name == function.name
            }
            (Self::Resource(wanted), TaskTarget::Resource { name, .. }) => wanted == name,
            _ => false,
        }
    }
}

/// By urgency, then by arrival.
type Queue = BTreeMap<(Reverse<i32>, u64), ReadyTask>;

#[derive(Debug)]
struct Pool {
    member: PoolMember,
    limit: usize,
    used: usize,
}

/// Lets at most so many tasks of a kind be under way at once on this engine, and leaves what of the
/// others goes first to another policy. A task takes its places when it is handed to that policy,
/// in the order of priority and arrival within its kind, and gives them back when it ends; one that
/// belongs to several pools needs a place in each.
#[derive(Debug)]
pub struct Pools<P> {
    inner: P,
    pools: Vec<Pool>,
    /// Which places a task holds that the inner policy knows.
    held: HashMap<TaskId, Vec<usize>>,
    /// Tasks that wait for a place, by the pools that they belong to, by urgency and arrival.
    waiting: BTreeMap<Vec<usize>, Queue>,
    places: HashMap<TaskId, (Vec<usize>, Reverse<i32>, u64)>,
    arrived: u64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    inner: Content,
    #[serde(with = "pairs")]
    held: HashMap<TaskId, Vec<usize>>,
    waiting: Vec<ReadyTask>,
}

impl Stored for Saved {
    const KIND: &'static str = "pools-scheduler";
    const VERSION: u32 = 1;
}

impl<P: WorkflowScheduler> Pools<P> {
    /// No pool yet: `inner` decides all.
    pub fn new(inner: P) -> Self {
        Self {
            inner,
            pools: Vec::new(),
            held: HashMap::new(),
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            arrived: 0,
        }
    }

    /// At most `limit` tasks of a kind at once; 0 counts as 1, or they would wait for ever.
    #[must_use]
    pub fn pool(mut self, member: PoolMember, limit: usize) -> Self {
        self.pools.push(Pool {
            member,
            limit: limit.max(1),
            used: 0,
        });
        self
    }

    fn pools_of(&self, task: &ReadyTask) -> Vec<usize> {
        let pools = self.pools.iter().enumerate();
        let pools = pools.filter(|(_, pool)| pool.member.has(task));
        pools.map(|(place, _)| place).collect()
    }

    fn hold(&mut self, id: TaskId, pools: Vec<usize>) {
        pools.iter().for_each(|pool| self.pools[*pool].used += 1);
        self.held.insert(id, pools);
    }

    fn give_back(&mut self, id: TaskId) {
        for pool in self.held.remove(&id).unwrap_or_default() {
            self.pools[pool].used -= 1;
        }
    }

    fn take_in(&mut self, task: ReadyTask) {
        let pools = self.pools_of(&task);
        if pools.is_empty() {
            return self.inner.observe(SchedulerChange::Ready(task));
        }
        self.arrived += 1;
        let (urgency, arrived) = (Reverse(task.priority), self.arrived);
        self.places
            .insert(task.id, (pools.clone(), urgency, arrived));
        let waiting = self.waiting.entry(pools).or_default();
        waiting.insert((urgency, arrived), task);
    }

    fn forget(&mut self, id: TaskId) -> Option<ReadyTask> {
        let (pools, urgency, arrived) = self.places.remove(&id)?;
        let waiting = self.waiting.get_mut(&pools)?;
        let task = waiting.remove(&(urgency, arrived));
        if waiting.is_empty() {
            self.waiting.remove(&pools);
        }
        task
    }

    /// Hands over what there is room for; the most urgent first, then the oldest.
    fn admit(&mut self) {
        loop {
            let room = |pools: &&Vec<usize>| {
                let has_room = |pool: &usize| self.pools[*pool].used < self.pools[*pool].limit;
                pools.iter().all(has_room)
            };
            let open = self.waiting.keys().filter(room);
            let first = |pools: &Vec<usize>| {
                let first = self.waiting[pools].first_key_value()?;
                Some((*first.0, first.1.id))
            };
            let Some((_, id)) = open.filter_map(first).min() else {
                return;
            };
            let Some(task) = self.forget(id) else {
                return;
            };
            let pools = self.pools_of(&task);
            self.hold(id, pools);
            self.inner.observe(SchedulerChange::Ready(task));
        }
    }
}

impl<P: WorkflowScheduler> WorkflowScheduler for Pools<P> {
    fn observe(&mut self, change: SchedulerChange) {
        match change {
            SchedulerChange::Ready(task) => return self.take_in(task),
            SchedulerChange::Started(ref task) => {
                self.forget(task.id);
                let pools = self.pools_of(task);
                // One that ran before a restart takes its places whatever the limits say.
                if !pools.is_empty() && !self.held.contains_key(&task.id) {
                    self.hold(task.id, pools);
                }
            }
            SchedulerChange::Ended { task, .. } => self.give_back(task),
            SchedulerChange::Withdrawn(id) => {
                self.give_back(id);
                if self.forget(id).is_some() {
                    return;
                }
            }
            SchedulerChange::Workflow { .. } | SchedulerChange::Closed(_) => {}
        }
        self.inner.observe(change);
    }

    fn decide(&mut self, context: &mut SchedulerContext) -> Schedule {
        self.admit();
        self.inner.decide(context)
    }

    fn save(&self) -> Result<Bytes> {
        let mut waiting: Vec<_> = self.places.iter().collect();
        waiting.sort_by_key(|(_, (_, _, arrived))| *arrived);
        let task = |(_, (pools, urgency, arrived)): (&TaskId, &(Vec<usize>, _, u64))| {
            let waiting = self.waiting.get(pools)?;
            waiting.get(&(*urgency, *arrived)).cloned()
        };
        encoding::encode(&Saved {
            inner: Content::from(&self.inner.save()?),
            held: self.held.clone(),
            waiting: waiting.into_iter().filter_map(task).collect(),
        })
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let saved = encoding::decode::<Saved>(bytes)?;
        let known = self.pools.len();
        if saved.held.values().flatten().any(|pool| *pool >= known) {
            let message = "it was saved with more pools";
            return Err(faas_core::Error::internal("restore scheduler", message));
        }
        self.inner.restore(&Bytes::from(saved.inner))?;
        self.pools.iter_mut().for_each(|pool| pool.used = 0);
        (self.waiting, self.places) = Default::default();
        self.held.clear();
        for (id, pools) in saved.held {
            self.hold(id, pools);
        }
        saved
            .waiting
            .into_iter()
            .for_each(|task| self.take_in(task));
        Ok(())
    }

    fn describe(&self) -> Description {
        let name = format!("Pools over {}", self.inner.describe().name);
        Description::new(name).provides(Component::W3)
    }
}

#[cfg(test)]
mod tests;
