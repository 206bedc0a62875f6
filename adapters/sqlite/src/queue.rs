//! What waits for the writer, in the order of the calls, bounded.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use faas_core::store::{Batch, BatchId, Committed, Revision, Space};
use faas_core::{ByteSize, Clock, Error, Hold, Monotonic, Result};
use jiff::Timestamp;
use tokio::sync::oneshot;

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

/// What the writer is asked.
#[derive(Debug)]
pub(crate) enum Request {
    Commit(Submission),
    /// Forget the changes of a space up to a revision.
    Compact(Space, Revision, oneshot::Sender<Result<()>>, Hold),
    /// Answer what was asked before, then end.
    Close,
}

/// A batch that waits for its turn; dropped without an answer, it is in doubt.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) batch: Batch,
    /// When it was submitted: a paused clock stands still only where the caller is.
    pub(crate) at: (Monotonic, Timestamp),
    answer: oneshot::Sender<Result<Committed>>,
    place: Place,
    _hold: Hold,
}

impl Submission {
    pub(crate) fn id(&self) -> BatchId {
        self.batch.id()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.place.bytes
    }

    /// Whoever no longer waits asks for the outcome.
    pub(crate) fn answer(self, result: Result<Committed>) {
        let _ = self.answer.send(result);
    }
}

/// A place in the queue, until the answer.
#[derive(Debug)]
struct Place {
    waiting: Arc<Waiting>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.items.fetch_sub(1, Ordering::Relaxed);
        self.waiting.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Waiting {
    items: AtomicUsize,
    bytes: AtomicUsize,
}

/// The callers' end of the queue.
#[derive(Debug)]
pub(crate) struct Queue {
    sender: mpsc::Sender<Request>,
    waiting: Arc<Waiting>,
    bounds: Bounds,
}

impl Queue {
    pub(crate) fn new(bounds: Bounds) -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel();
        let waiting = Arc::default();
        let queue = Self {
            sender,
            waiting,
            bounds,
        };
        (queue, receiver)
    }

    /// Takes a place for the batch. Its bytes are counted before the bounds are compared, so that
    /// concurrent callers never take more than there is; the place is given back when refused.
    pub(crate) fn submit(
        &self,
        batch: Batch,
        clock: &dyn Clock,
    ) -> Result<oneshot::Receiver<Result<Committed>>, Refusal> {
        let bytes = batch.bytes();
        let items = self.waiting.items.fetch_add(1, Ordering::Relaxed);
        let before = self.waiting.bytes.fetch_add(bytes, Ordering::Relaxed);
        let place = Place {
            waiting: self.waiting.clone(),
            bytes,
        };
        if items >= self.bounds.items || before.saturating_add(bytes) > self.bounds.bytes {
            let message = format!("{items} commits of {before} bytes wait for the disk already");
            return Err(Refusal::Full(Error::exhausted("commit", message)));
        }
        let (answer, receiver) = oneshot::channel();
        let submission = Submission {
            batch,
            at: (clock.now(), clock.wall()),
            answer,
            place,
            _hold: clock.hold(),
        };
        self.ask(Request::Commit(submission))?;
        Ok(receiver)
    }

    pub(crate) fn ask(&self, request: Request) -> Result<(), Refusal> {
        self.sender.send(request).map_err(|_| Refusal::Closed)
    }
}

/// Why nothing was submitted.
#[derive(Debug)]
pub(crate) enum Refusal {
    Full(Error),
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::TokioClock;
    use faas_core::store::{Key, Precondition};

    const SPACE: Space = Space::unwatched("queue");

    fn batch(bytes: usize) -> Batch {
        let key = Key::from_bytes("k");
        Batch::new().put(SPACE, key, vec![0; bytes - 1], Precondition::Any)
    }

    #[test]
    fn both_bounds_hold_until_the_answer() {
        let clock = TokioClock::new();
        let (queue, receiver) = Queue::new(Bounds {
            items: 2,
            bytes: 10,
        });
        let mut answers = vec![queue.submit(batch(6), &clock).expect("it fits")];
        let refused = queue.submit(batch(5), &clock);
        assert!(matches!(refused, Err(Refusal::Full(_))), "too many bytes");
        answers.push(queue.submit(batch(4), &clock).expect("it fits"));
        let refused = queue.submit(batch(1), &clock);
        assert!(matches!(refused, Err(Refusal::Full(_))), "too many commits");
        let Ok(Request::Commit(first)) = receiver.try_recv() else {
            panic!("the first is not there");
        };
        let refused = queue.submit(batch(1), &clock);
        assert!(matches!(refused, Err(Refusal::Full(_))), "it is under way");
        first.answer(Ok(Committed::default()));
        answers.push(queue.submit(batch(6), &clock).expect("a place is free"));
        drop(receiver);
        assert!(matches!(
            queue.submit(batch(1), &clock),
            Err(Refusal::Closed)
        ));
    }
}
