//! [`Core`]: what the loop knows and decides, without I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use faas_core::explain::{DecisionClass, DecisionLog};
use faas_core::{
    Error, ErrorKind, InstanceId, Monotonic, Resources, Retry, RevisionNumber, StartKind,
};

use super::guarded::Guarded;
use super::works::{Order, Step, Works};
use crate::FunctionAutoscaler;
use crate::autoscaler::{Fleet, FleetChange, RevisionLoad, ScaleDecision};
use crate::backoff::Backoff;
use crate::deployer::plan::workload_id;
use crate::registry::{FunctionId, FunctionRecord, FunctionRevision, RevisionId};

/// After so many failures in a row those that wait for an instance are told why there is none.
const HOPELESS: u32 = 4;

/// What the router is to be told.
#[derive(Debug)]
pub(super) enum Effect {
    /// An instance takes no more.
    Withdraw(InstanceId),
    /// There will be no instance.
    Refuse(RevisionId, Error),
}

/// A revision that has, or may get, instances.
#[derive(Debug)]
struct Known {
    revision: Arc<FunctionRevision>,
    /// How many instances were decided on.
    wanted: u32,
    /// Since when something waits that was not there at the last decision.
    demanded: Option<Monotonic>,
    /// Whether new requests can still come to it: it is the latest, or an alias names it.
    current: bool,
    /// Whether it is known what an earlier life has left of it.
    prepared: bool,
    /// How often in a row none of its instances came to be.
    failures: u32,
    /// Until when nothing is decided: it could not help.
    held_until: Monotonic,
}

pub(super) struct Core {
    policy: Guarded,
    log: DecisionLog,
    fleet: Fleet,
    known: BTreeMap<RevisionId, Known>,
    /// The revisions of each registered function that new requests can come to.
    current: BTreeMap<FunctionId, BTreeSet<RevisionNumber>>,
    /// The demand for revisions that are still to be read from the registry.
    unread: BTreeMap<RevisionId, RevisionLoad>,
    /// When the first of the decisions that are held is to be made.
    held: Option<Monotonic>,
    pub(super) works: Works,
    pub(super) effects: Vec<Effect>,
}

impl Core {
    pub(super) fn new(
        policy: Box<dyn FunctionAutoscaler>,
        seed: u64,
        log: DecisionLog,
        limit: Option<Resources>,
    ) -> Self {
        let fleet = Fleet {
            limit,
            ..Fleet::default()
        };
        Self {
            policy: Guarded::new(policy, seed),
            log,
            fleet,
            known: BTreeMap::new(),
            current: BTreeMap::new(),
            unread: BTreeMap::new(),
            held: None,
            works: Works::default(),
            effects: Vec::new(),
        }
    }

    /// These are all functions there are.
    pub(super) fn listed(&mut self, records: &[Arc<FunctionRecord>], now: Monotonic) {
        let there: BTreeSet<_> = records.iter().map(|record| &record.function).collect();
        let known = self.known.keys().chain(self.unread.keys());
        let known = known.map(|id| &id.function).chain(self.current.keys());
        let gone: BTreeSet<_> = known.filter(|id| !there.contains(id)).cloned().collect();
        for function in gone {
            self.deleted(&function, now);
        }
        for record in records {
            self.registered(record, now);
        }
    }

    /// A function is new or other than it was: what must have instances is kept, and what no new
    /// request can reach may go.
    pub(super) fn registered(&mut self, record: &FunctionRecord, now: Monotonic) {
        let aliases = record.aliases.values().flat_map(|alias| &alias.weights);
        let named = aliases.filter(|(_, weight)| **weight > 0);
        let named = named.map(|(number, _)| *number);
        let numbers: BTreeSet<_> = named.chain([record.latest.number]).collect();
        for number in &numbers {
            let (function, number) = (record.function.clone(), *number);
            let id = RevisionId { function, number };
            if number == record.latest.number {
                self.know(record.latest.clone(), true, now);
            } else if !self.known.contains_key(&id) {
                self.works.want(&id, Step::Learn);
            }
        }
        let ours = self.known.iter_mut();
        let ours = ours.filter(|(id, _)| id.function == record.function);
        let mut changed = Vec::new();
        for (id, known) in ours {
            let current = numbers.contains(&id.number);
            if std::mem::replace(&mut known.current, current) != current {
                changed.push(id.clone());
            }
        }
        self.current.insert(record.function.clone(), numbers);
        for id in changed {
            if let Some(load) = self.fleet.revisions.get(&id).cloned() {
                self.load(&id, load, now);
            }
        }
    }

    /// A function is gone.
    pub(super) fn deleted(&mut self, function: &FunctionId, now: Monotonic) {
        self.current.remove(function);
        self.unread.retain(|id, _| id.function != *function);
        let ours = self.known.keys().filter(|id| id.function == *function);
        for id in ours.cloned().collect::<Vec<_>>() {
            self.leave(&id, now);
        }
    }

    /// A revision is there.
    fn know(&mut self, revision: Arc<FunctionRevision>, current: bool, now: Monotonic) {
        let id = revision.id();
        if self.known.contains_key(&id) {
            return;
        }
        let config = &revision.config;
        let idle = RevisionLoad::idle(
            config.concurrency,
            config.min_instances,
            config.max_instances,
            config.resources.clone(),
        );
        let load = self.unread.remove(&id).unwrap_or(idle);
        self.works.want(&id, Step::Prepare(revision.clone()));
        let known = Known {
            revision,
            wanted: 0,
            demanded: None,
            current,
            prepared: false,
            failures: 0,
            held_until: Monotonic::ZERO,
        };
        self.known.insert(id.clone(), known);
        self.load(&id, load, now);
    }

    /// What was to be read was read.
    pub(super) fn learned(
        &mut self,
        id: &RevisionId,
        revision: Arc<FunctionRevision>,
        now: Monotonic,
    ) {
        self.works.done(id, None, now);
        let current = self.current.get(&id.function);
        let current = current.is_some_and(|numbers| numbers.contains(&id.number));
        // Neither: it was of use when it was asked for.
        if current || self.unread.contains_key(id) {
            self.know(revision, current, now);
        }
    }

    /// The demand for a revision is now this.
    pub(super) fn demanded(&mut self, id: &RevisionId, load: RevisionLoad, now: Monotonic) {
        if self.known.contains_key(id) {
            self.load(id, load, now);
        } else if load.queued > 0 {
            self.unread.insert(id.clone(), load);
            self.works.want(id, Step::Learn);
        } else {
            self.unread.remove(id);
        }
    }

    /// Takes a revision's load into the fleet, and tells the policy.
    fn load(&mut self, id: &RevisionId, mut load: RevisionLoad, now: Monotonic) {
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        known.demanded = match load.queued {
            0 => None,
            _ => Some(known.demanded.unwrap_or(now)),
        };
        load.starting = known.wanted.saturating_sub(load.ready);
        load.min = match known.current {
            true => known.revision.config.min_instances,
            false => 0,
        };
        let used = load.queued > 0 || load.running > 0 || load.ready > 0 || load.starting > 0;
        if !known.current && !used {
            self.leave(id, now);
            return;
        }
        self.fleet.revisions.insert(id.clone(), load.clone());
        self.tell(&FleetChange::Load(id.clone(), load), now);
    }

    /// A revision is to have no instances, and is no longer known.
    fn leave(&mut self, id: &RevisionId, now: Monotonic) {
        self.fleet.revisions.remove(id);
        self.known.remove(id);
        self.tell(&FleetChange::Removed(id.clone()), now);
        self.works.want(id, Step::Remove);
    }

    fn tell(&mut self, change: &FleetChange, now: Monotonic) {
        self.policy.observe(change, now);
    }

    /// These revisions are deployed: those that nobody knows of are not to be, an earlier life has
    /// left them.
    pub(super) fn deployed(&mut self, deployed: Vec<RevisionId>) {
        for id in deployed {
            let current = self.current.get(&id.function);
            let current = current.is_some_and(|numbers| numbers.contains(&id.number));
            if !current && !self.known.contains_key(&id) && !self.works.has(&id) {
                self.works.want(&id, Step::Remove);
            }
        }
    }

    /// An instance came to be; what its first invocation is.
    pub(super) fn ready(&mut self, id: &RevisionId) -> StartKind {
        if let Some(known) = self.known.get_mut(id) {
            known.failures = 0;
        }
        let load = self.fleet.revisions.get(id);
        match load.is_some_and(|load| load.queued > 0) {
            true => StartKind::Cold,
            false => StartKind::Prewarmed,
        }
    }

    /// An instance is wanted and is not there. Who waits for it goes on waiting as long as there is
    /// hope: for room, and for another attempt after a few that failed.
    pub(super) fn waits(&mut self, id: &RevisionId, error: Error) {
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        if error.kind() == ErrorKind::Exhausted {
            return;
        }
        known.failures = known.failures.saturating_add(1);
        if error.retry() == Retry::Never || known.failures >= HOPELESS {
            self.effects.push(Effect::Refuse(id.clone(), error));
        }
    }

    /// A revision is prepared; so many instances were found.
    pub(super) fn prepared(&mut self, id: &RevisionId, found: u32, now: Monotonic) {
        self.works.done(id, None, now);
        if let Some(known) = self.known.get_mut(id) {
            known.prepared = true;
            known.wanted = known.wanted.max(found);
        }
        if let Some(load) = self.fleet.revisions.get(id).cloned() {
            self.load(id, load, now);
        }
    }

    /// A step is done.
    pub(super) fn done(&mut self, id: &RevisionId, now: Monotonic) {
        self.works.done(id, None, now);
    }

    /// A step has failed.
    pub(super) fn failed(&mut self, id: &RevisionId, step: &Step, error: Error, now: Monotonic) {
        self.works.done(id, Some(&error), now);
        tracing::warn!(revision = %id, %error, ?step, "a revision is not as it should be");
        let never = error.retry() == Retry::Never;
        match step {
            Step::Learn if never && self.unread.remove(id).is_some() => {
                self.effects.push(Effect::Refuse(id.clone(), error));
            }
            Step::Prepare(_) | Step::Deploy(_) => {
                self.waits(id, error);
                if never {
                    self.give_up(id, now);
                }
            }
            Step::Learn | Step::Remove => {}
        }
    }

    /// None of the instances that were decided on will come, nor would others, for now.
    fn give_up(&mut self, id: &RevisionId, now: Monotonic) {
        if let (Some(known), Some(load)) =
            (self.known.get_mut(id), self.fleet.revisions.get_mut(id))
        {
            known.wanted = load.ready;
            load.starting = 0;
            known.held_until = now + Backoff::after(known.failures);
        }
    }

    /// Asks the policy, and takes what it decides into what is to be done.
    pub(super) fn decide(&mut self, now: Monotonic) {
        let decisions = self.policy.decide(&self.fleet, now);
        self.held = None;
        for decision in decisions {
            self.order(decision, now);
        }
    }

    fn order(&mut self, decision: ScaleDecision, now: Monotonic) {
        let id = decision.revision;
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        if known.held_until > now {
            let held = self.held.unwrap_or(known.held_until);
            self.held = Some(held.min(known.held_until));
            return;
        }
        if !known.prepared {
            // The policy did not know all; it is asked again when it does.
            let revision = known.revision.clone();
            self.works.hurry(&id, || Step::Prepare(revision));
            return;
        }
        let subjects = vec![workload_id(&id).into()];
        let class = DecisionClass::Scaling;
        let caused_by = self.log.record(class, subjects, None, decision.reasons);
        let evict = decision.evict;
        self.effects
            .extend(evict.iter().copied().map(Effect::Withdraw));
        if !known.current && decision.instances == 0 {
            self.leave(&id, now);
            return;
        }
        known.wanted = decision.instances;
        let order = Order {
            revision: known.revision.clone(),
            instances: decision.instances,
            evict,
            demanded: known.demanded.take().unwrap_or(now),
            decided: now,
            caused_by,
        };
        if let Some(load) = self.fleet.revisions.get_mut(&id) {
            load.starting = known.wanted.saturating_sub(load.ready);
        }
        self.works.want(&id, Step::Deploy(order));
    }

    /// When to decide, or to try something again, although nothing has changed.
    pub(super) fn wake_at(&self) -> Option<Monotonic> {
        let wakes = [self.policy.wake_at(), self.works.wake_at(), self.held];
        wakes.into_iter().flatten().min()
    }
}
