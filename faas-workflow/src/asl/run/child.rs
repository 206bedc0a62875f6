//! Frames within frames.

use super::frame::{Active, Child, Frame, FrameId, Item, Job, Link, Position, StreamId};
use super::recovery::Broken;
use super::turn::After;
use super::{Failure, Turn, Work};
use crate::asl::model::StateIndex;
use crate::program::Data;

/// A child to start.
pub(super) struct Start {
    pub(super) slot: usize,
    /// How often the parent's state has been tried again.
    pub(super) attempt: u32,
    pub(super) state: StateIndex,
    pub(super) input: Data,
    /// The event that its first one follows.
    pub(super) last: u64,
    pub(super) item: Option<Item>,
    /// If it is a child execution, with a history of its own.
    pub(super) child: Option<Box<Child>>,
}

impl Turn<'_> {
    pub(super) fn start_child(&mut self, parent: &Frame, start: Start) -> FrameId {
        let id = self.frame_id();
        let mut stream = parent.stream;
        if start.child.is_some() {
            stream = StreamId(id.0);
            // Its history begins with `ExecutionStarted`, as any other does.
            self.run.streams.insert(stream, 1);
        }
        let frame = Frame {
            id,
            link: Some(Link {
                parent: parent.id,
                slot: start.slot,
                child: id,
            }),
            stream,
            place: format!("{}[{}]/", parent.key(start.attempt), start.slot),
            steps: 0,
            last: start.last,
            variables: std::collections::BTreeMap::new(),
            item: start.item,
            child: start.child,
            position: Position::Before(start.state, start.input),
        };
        self.run.frames.insert(id, frame);
        self.run.work.push_back(Work::Advance(id));
        id
    }

    /// A frame that waits for this child, taken out, with what it waits for.
    fn parent(&mut self, link: Link) -> Option<(Frame, Box<Active>, Job)> {
        let mut frame = self.run.frames.remove(&link.parent)?;
        let waits = match &mut frame.position {
            Position::In(active) => active.job.release(link.child),
            Position::Before(..) => false,
        };
        if !waits {
            self.settle(frame, After::Blocked);
            return None;
        }
        let nothing = Position::Before(self.machine.start, Data::default());
        match std::mem::replace(&mut frame.position, nothing) {
            Position::In(mut active) => {
                let job = std::mem::replace(&mut active.job, Job::Attempt);
                Some((frame, active, job))
            }
            Position::Before(..) => None,
        }
    }

    pub(super) fn child_succeeded(&mut self, link: Link, output: Data, last: u64) {
        let Some((mut frame, active, job)) = self.parent(link) else {
            return;
        };
        let after = match job {
            Job::Parallel(mut job) => {
                if let Some(result) = job.results.get_mut(link.slot) {
                    *result = Some(output);
                }
                self.branch_succeeded(&mut frame, active, job, last)
            }
            Job::Map(mut job) => {
                if let Some(result) = job.results.get_mut(link.slot) {
                    *result = Some(output);
                }
                self.iteration_succeeded(&mut frame, active, job, link.slot, last)
            }
            _ => After::Blocked,
        };
        self.settle(frame, after);
    }

    pub(super) fn child_failed(&mut self, link: Link, failure: Failure, last: u64) {
        let Some((mut frame, active, job)) = self.parent(link) else {
            return;
        };
        let after = match job {
            Job::Parallel(mut job) => {
                job.running.insert(link.child);
                frame.last = last;
                self.record_branches_aborted(&mut frame, &job, Some(link.child));
                let broken = Broken::Children(Some(Job::Parallel(job)));
                self.state_failed(&mut frame, active, failure, broken)
            }
            Job::Map(job) => self.iteration_failed(&mut frame, active, job, link, failure, last),
            _ => After::Blocked,
        };
        self.settle(frame, after);
    }
}

impl Job {
    /// Whether it waited for that child, for which it waits no more.
    fn release(&mut self, child: FrameId) -> bool {
        match self {
            Self::Parallel(job) => job.running.remove(&child),
            Self::Map(job) => job.running.remove(&child),
            _ => false,
        }
    }
}
