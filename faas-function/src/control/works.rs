//! [`Works`]: what is to be done for each revision, one thing at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use faas_core::{DecisionId, Error, InstanceId, Monotonic, Retry};

use crate::backoff::Backoff;
use crate::registry::{FunctionRevision, RevisionId};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Read the revision from the registry.
    Learn,
    /// Do what needs no demand.
    Prepare(Arc<FunctionRevision>),
    /// See to it that there are so many instances.
    Deploy(Order),
    /// End all instances.
    Remove,
}

/// How many instances, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) revision: Arc<FunctionRevision>,
    pub(super) instances: u32,
    pub(super) evict: Vec<InstanceId>,
    /// Since when something waited, or had changed, that was not decided on.
    pub(super) demanded: Monotonic,
    pub(super) decided: Monotonic,
    pub(super) caused_by: DecisionId,
}

impl Step {
    /// What is to be done where this was, and `newer` is wanted as well.
    fn then(self, newer: Self) -> Self {
        match (self, newer) {
            (Self::Deploy(older), Self::Deploy(mut newer)) => {
                let evict = older.evict.into_iter();
                newer.evict.extend(
                    evict
                        .filter(|id| !newer.evict.contains(id))
                        .collect::<Vec<_>>(),
                );
                newer.demanded = newer.demanded.min(older.demanded);
                Self::Deploy(newer)
            }
            (older @ Self::Deploy(_), Self::Prepare(_) | Self::Learn) => older,
            (older @ Self::Prepare(_), Self::Learn) => older,
            (_, newer) => newer,
        }
    }

    /// Whether somebody may wait for it.
    fn is_urgent(&self) -> bool {
        !matches!(self, Self::Prepare(_))
    }
}

/// Where a revision waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Nowhere,
    Calm,
    Urgent,
    /// After the pause that follows a failure.
    Later,
}

#[derive(Debug, Default)]
struct Work {
    doing: Option<Step>,
    next: Option<Step>,
    failures: u32,
    place: Place,
}

/// What is to be done and what is being done. One step at a time for each revision, the newest wish
/// only; what fails is tried again after a pause, unless that cannot help.
#[derive(Debug, Default)]
pub(super) struct Works {
    by: BTreeMap<RevisionId, Work>,
    urgent: VecDeque<RevisionId>,
    /// A revision that has become urgent leaves its place here empty.
    calm: VecDeque<RevisionId>,
    later: BTreeSet<(Monotonic, RevisionId)>,
}

impl Works {
    /// Wishes a step.
    pub(super) fn want(&mut self, id: &RevisionId, step: Step) {
        let work = self.by.entry(id.clone()).or_default();
        work.next = Some(match work.next.take() {
            Some(older) => older.then(step),
            None => step,
        });
        let urgent = work.next.as_ref().is_some_and(Step::is_urgent);
        self.enqueue(id, urgent);
    }

    /// Somebody waits for a step, which is wished if nothing is to be done.
    pub(super) fn hurry(&mut self, id: &RevisionId, step: impl FnOnce() -> Step) {
        if !self.by.contains_key(id) {
            self.want(id, step());
        }
        self.enqueue(id, true);
    }

    /// Gives a revision its place.
    fn enqueue(&mut self, id: &RevisionId, urgent: bool) {
        let work = self.by.get_mut(id);
        let Some(work) = work.filter(|w| w.doing.is_none() && w.next.is_some()) else {
            return;
        };
        match (work.place, urgent) {
            (Place::Nowhere | Place::Calm, true) => {
                work.place = Place::Urgent;
                self.urgent.push_back(id.clone());
            }
            (Place::Nowhere, false) => {
                work.place = Place::Calm;
                self.calm.push_back(id.clone());
            }
            _ => {}
        }
    }

    /// What is to be begun now, if anything.
    pub(super) fn begin(&mut self, now: Monotonic) -> Option<(RevisionId, Step)> {
        while self.later.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, id)) = self.later.pop_first()
        {
            if let Some(work) = self.by.get_mut(&id) {
                work.place = Place::Urgent;
                self.urgent.push_back(id);
            }
        }
        loop {
            let (id, place) = match self.urgent.pop_front() {
                Some(id) => (id, Place::Urgent),
                None => (self.calm.pop_front()?, Place::Calm),
            };
            let work = self.by.get_mut(&id).filter(|work| work.place == place);
            if let Some(work) = work
                && let Some(step) = work.next.take()
            {
                work.place = Place::Nowhere;
                work.doing = Some(step.clone());
                return Some((id, step));
            }
        }
    }

    /// A step is over.
    pub(super) fn done(&mut self, id: &RevisionId, error: Option<&Error>, now: Monotonic) {
        let Some(work) = self.by.get_mut(id) else {
            return;
        };
        let done = work.doing.take();
        let again = match error {
            None => None,
            Some(error) => done.filter(|_| error.retry() != Retry::Never),
        };
        work.next = match (again, work.next.take()) {
            (Some(older), Some(newer)) => Some(older.then(newer)),
            (again, next) => again.or(next),
        };
        if work.next.is_none() {
            self.by.remove(id);
        } else if error.is_some() {
            work.failures = work.failures.saturating_add(1);
            work.place = Place::Later;
            let at = now + Backoff::after(work.failures);
            self.later.insert((at, id.clone()));
        } else {
            work.failures = 0;
            let urgent = work.next.as_ref().is_some_and(Step::is_urgent);
            self.enqueue(id, urgent);
        }
    }

    /// Whether something is done or to be done.
    pub(super) fn has(&self, id: &RevisionId) -> bool {
        self.by.contains_key(id)
    }

    /// When the next of those that failed is to be tried again.
    pub(super) fn wake_at(&self) -> Option<Monotonic> {
        self.later.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests;
