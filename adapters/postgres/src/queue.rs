//! What waits to be committed, and which of it may go side by side.
//!
//! Batches that touch a common key take effect in the order of the calls: a batch waits while
//! one that was called before it, and that shares a key or a watched space with it, is under way in
//! another lane or waits itself. What does not, overtakes. Within one group the order is the calls'.

mod uses;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use faas_core::store::{Batch, BatchId, Committed};
use faas_core::{ByteSize, Error, Hold, Result};
use tokio::sync::{Notify, oneshot};

use self::uses::Uses;
use crate::error::closed;

/// How many batches and operations one transaction takes at most: each operation takes a lock of
/// the server, which has 6,400 by default.
const GROUP: usize = 128;
const GROUP_OPERATIONS: usize = 256;
const GROUP_BYTES: usize = 16 << 20;
/// How far a lane looks for what it may take.
const LOOKED_AT: usize = 1024;

/// A number of things, and how many bytes they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bounds {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

impl Bounds {
    pub(crate) fn new(items: usize, bytes: ByteSize) -> Self {
        let bytes = usize::try_from(bytes.0).unwrap_or(usize::MAX);
        Self { items, bytes }
    }
}

/// A batch that waits for its turn.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) batch: Batch,
    answer: oneshot::Sender<Result<Committed>>,
    _hold: Hold,
}

impl Submission {
    pub(crate) fn id(&self) -> BatchId {
        self.batch.id()
    }

    /// Whoever no longer waits asks for the outcome.
    pub(crate) fn answer(self, result: Result<Committed>) {
        let _ = self.answer.send(result);
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Submission>,
    under_way: Uses,
    /// What waits or is under way.
    held: Bounds,
    closed: bool,
}

/// The queue, shared by callers and lanes.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    bounds: Bounds,
    changed: Notify,
}

/// A group under way. Dropped unfinished (its lane has ended), its batches are in doubt.
pub(crate) struct Group<'q> {
    queue: &'q Queue,
    pub(crate) submissions: Vec<Submission>,
}

impl Group<'_> {
    /// Lets go of what the group uses; only then may its batches be answered, so that who is
    /// answered meets nothing in the way.
    pub(crate) fn finish(mut self) -> Vec<Submission> {
        let submissions = std::mem::take(&mut self.submissions);
        self.queue.release(&submissions);
        submissions
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        self.queue.release(&self.submissions);
    }
}

impl Queue {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            state: Mutex::default(),
            bounds,
            changed: Notify::new(),
        }
    }

    pub(crate) fn submit(
        &self,
        batch: Batch,
        hold: Hold,
    ) -> Result<oneshot::Receiver<Result<Committed>>> {
        let (answer, receiver) = oneshot::channel();
        let bytes = batch.bytes();
        let mut state = self.lock();
        if state.closed {
            return Err(closed("commit"));
        }
        let Bounds { items, bytes: held } = state.held;
        if items >= self.bounds.items || held.saturating_add(bytes) > self.bounds.bytes {
            let message = format!("{items} commits of {held} bytes wait for the server already");
            return Err(Error::exhausted("commit", message));
        }
        state.held = Bounds {
            items: items + 1,
            bytes: held + bytes,
        };
        state.waiting.push_back(Submission {
            batch,
            answer,
            _hold: hold,
        });
        drop(state);
        self.changed.notify_waiters();
        Ok(receiver)
    }

    /// The next group that nothing is in the way of; `None` once the queue is closed and empty.
    pub(crate) async fn next(&self) -> Option<Group<'_>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            {
                let mut state = self.lock();
                let submissions = state.take();
                if !submissions.is_empty() {
                    return Some(Group {
                        queue: self,
                        submissions,
                    });
                }
                if state.closed && state.waiting.is_empty() {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Takes no more; what waits is still committed.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_waiters();
    }

    fn release(&self, submissions: &[Submission]) {
        if submissions.is_empty() {
            return;
        }
        let mut state = self.lock();
        for submission in submissions {
            state.under_way.remove(&submission.batch);
            state.held.items -= 1;
            state.held.bytes -= submission.batch.bytes();
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Vec<Submission> {
        let mut group: Vec<Submission> = Vec::new();
        let (mut operations, mut bytes) = (0, 0);
        let mut passed_over = Uses::default();
        let mut left = VecDeque::new();
        let looked_at = self.waiting.len().min(LOOKED_AT);
        for submission in self.waiting.drain(..looked_at) {
            let batch = &submission.batch;
            let full = group.len() >= GROUP
                || bytes + batch.bytes() > GROUP_BYTES
                || operations + batch.operations().len() > GROUP_OPERATIONS;
            let waits = !group.is_empty() && full
                || self.under_way.is_in_the_way_of(batch)
                || passed_over.is_in_the_way_of(batch);
            if waits {
                passed_over.add(batch);
                left.push_back(submission);
            } else {
                operations += batch.operations().len();
                bytes += batch.bytes();
                group.push(submission);
            }
        }
        left.append(&mut self.waiting);
        self.waiting = left;
        for submission in &group {
            self.under_way.add(&submission.batch);
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::store::{Key, Precondition, Space};
    use futures::FutureExt;

    const A: Space = Space::unwatched("a");
    const W: Space = Space::watched("w");

    fn queue() -> Queue {
        Queue::new(Bounds {
            items: 1000,
            bytes: 1 << 20,
        })
    }

    fn put(space: Space, key: &str) -> Batch {
        Batch::new().put(space, Key::new(key), "v", Precondition::Any)
    }

    fn submit(queue: &Queue, batch: Batch) -> BatchId {
        let id = batch.id();
        queue.submit(batch, Hold::idle()).expect("there is room");
        id
    }

    fn next(queue: &Queue) -> Option<Group<'_>> {
        queue.next().now_or_never().flatten()
    }

    fn ids(group: &Group<'_>) -> Vec<BatchId> {
        group.submissions.iter().map(Submission::id).collect()
    }

    #[test]
    fn what_waits_goes_together_in_the_order_of_the_calls() {
        let queue = queue();
        let called: Vec<_> = (0..10).map(|_| submit(&queue, put(A, "same"))).collect();
        assert_eq!(ids(&next(&queue).expect("a group")), called);
    }

    #[test]
    fn a_common_key_waits_and_what_shares_nothing_overtakes() {
        let queue = queue();
        submit(&queue, put(A, "1"));
        let first = next(&queue).expect("a group");
        let both = put(A, "1").put(A, Key::new("2"), "v", Precondition::Any);
        let waits = submit(&queue, both);
        let behind = submit(&queue, put(A, "2"));
        let overtakes = submit(&queue, put(A, "3"));
        let second = next(&queue).expect("a group");
        assert_eq!(ids(&second), [overtakes]);
        assert!(next(&queue).is_none(), "all else waits");
        first.finish();
        assert_eq!(ids(&next(&queue).expect("a group")), [waits, behind]);
    }

    #[test]
    fn a_watched_space_has_one_order_and_checks_share_a_key() {
        let queue = queue();
        submit(&queue, put(W, "1"));
        let first = next(&queue).expect("a group");
        let other_key = submit(&queue, put(W, "2"));
        assert!(next(&queue).is_none(), "it changes the same space");
        first.finish();
        assert_eq!(ids(&next(&queue).expect("a group")), [other_key]);
        let check = |key: &str| {
            let check = Batch::new().check(A, Key::new("epoch"), Precondition::Absent);
            check.put(A, Key::new(key), "v", Precondition::Any)
        };
        submit(&queue, check("1"));
        let one = next(&queue).expect("a group");
        let two = submit(&queue, check("2"));
        assert_eq!(ids(&next(&queue).expect("beside the first")), [two]);
        submit(&queue, put(A, "epoch"));
        assert!(next(&queue).is_none(), "it is being checked");
        drop(one);
        assert!(next(&queue).is_some());
    }

    #[test]
    fn a_closed_queue_still_gives_what_waits() {
        let queue = queue();
        submit(&queue, put(A, "1"));
        queue.close();
        assert!(queue.submit(put(A, "2"), Hold::idle()).is_err());
        let group = queue.next().now_or_never().expect("at once");
        group.expect("it was submitted").finish();
        assert!(queue.next().now_or_never().expect("at once").is_none());
    }

    #[test]
    fn bounds_count_what_is_under_way() {
        let queue = Queue::new(Bounds {
            items: 1,
            bytes: 100,
        });
        submit(&queue, put(A, "1"));
        let group = next(&queue).expect("a group");
        assert!(queue.submit(put(A, "2"), Hold::idle()).is_err());
        group.finish();
        submit(&queue, put(A, "2"));
    }
}
