//! What a pool gives: a slot ([`Grant`]), or a place in its queue ([`Waiter`]).

use std::sync::Arc;

use faas_core::{DecisionId, Error, Namespace, StartKind, Timeline};
use tokio::sync::oneshot;

use super::AddInstance;
use super::meters::Meters;
use super::places::Place;
use super::pool::Pool;
use super::slots::Ticket;
use crate::instance::{FunctionInstance, Permit};

/// An instance, and how it came to be.
pub(super) struct Member {
    instance: Arc<dyn FunctionInstance>,
    pub(super) meters: Arc<Meters>,
    timeline: Timeline,
    caused_by: Option<DecisionId>,
}

impl Member {
    pub(super) fn new(add: &AddInstance, meters: Arc<Meters>) -> Self {
        Self {
            instance: add.instance.clone(),
            meters,
            timeline: add.timeline,
            caused_by: add.caused_by,
        }
    }

    pub(super) fn instance(&self) -> &dyn FunctionInstance {
        &*self.instance
    }

    /// Where the time of its start went.
    pub(super) fn started(&self) -> &Timeline {
        &self.timeline
    }
}

/// A slot, and what to do with it.
pub(super) struct Grant {
    member: Arc<Member>,
    pub(super) permit: Permit,
    start: StartKind,
}

impl Grant {
    pub(super) fn new(member: Arc<Member>, permit: Permit, start: StartKind) -> Self {
        Self {
            member,
            permit,
            start,
        }
    }

    /// The instance, the right to its slot, and what the invocation is.
    pub(super) fn into_parts(self) -> (Arc<Member>, Permit, StartKind) {
        (self.member, self.permit, self.start)
    }

    /// The scaling decision that the instance was started for, if the invocation waited for it.
    pub(super) fn caused_by(&self) -> Option<DecisionId> {
        let waited_for = self.start == StartKind::Cold;
        self.member.caused_by.filter(|_| waited_for)
    }
}

/// What counts one that waits, for as long as it does.
struct Waits {
    meters: Arc<Meters>,
    _place: Place,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.meters.depth.decrement(1.0);
    }
}

/// What one that waits is answered.
pub(super) enum Answer {
    Granted(Grant),
    /// There will be no slot.
    Refused(Error),
    /// Another tenant's has its place now.
    Displaced(Error),
}

/// Answers one that waits.
pub(super) struct Sender {
    to: oneshot::Sender<Answer>,
    waits: Waits,
}

impl Sender {
    pub(super) fn new(place: Place, meters: Arc<Meters>) -> (Self, Receiver) {
        let (to, receiver) = oneshot::channel();
        meters.depth.increment(1.0);
        let waits = Waits {
            meters,
            _place: place,
        };
        (Self { to, waits }, receiver)
    }

    /// Answers; what is answered counts no longer as one that waits.
    pub(super) fn send(self, answer: Answer) {
        let Self { to, waits } = self;
        drop(waits);
        // An error is an answer to one that is gone; dropping a grant frees the slot.
        drop(to.send(answer));
    }
}

pub(super) type Receiver = oneshot::Receiver<Answer>;

/// A place in a queue; dropping it leaves the queue, or frees a slot that was just granted.
pub(super) struct Waiter {
    pub(super) pool: Arc<Pool>,
    tenant: Namespace,
    ticket: Ticket,
    receiver: Receiver,
}

impl Waiter {
    pub(super) fn new(
        pool: Arc<Pool>,
        tenant: Namespace,
        ticket: Ticket,
        receiver: Receiver,
    ) -> Self {
        Self {
            pool,
            tenant,
            ticket,
            receiver,
        }
    }

    /// The slot, or why there will be none.
    pub(super) async fn answer(&mut self) -> Answer {
        let lost =
            |_| Answer::Refused(Error::internal("invoke", "its place in the queue was lost"));
        (&mut self.receiver).await.unwrap_or_else(lost)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.pool.leave(&self.tenant, self.ticket);
    }
}
