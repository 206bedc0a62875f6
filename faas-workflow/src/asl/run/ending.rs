//! How an execution ends, and how it goes on after that.

use std::time::Duration;

use serde_json::json;

use super::failure::{Failure, TIMEOUT};
use super::frame::{Frame, FrameId, Job, Position, StreamId};
use super::records::{Details, details, text};
use super::{Alarm, Turn, Work};
use crate::program::{Command, Data, Ending, TaskError};

impl Turn<'_> {
    pub(super) fn succeed(&mut self, frame: &Frame, output: Data) {
        let succeeded = details(json!({ "output": text(&output) }));
        self.record_after(frame.stream, frame.last, "ExecutionSucceeded", succeeded);
        self.end(Ending::Succeeded(output));
    }

    pub(super) fn fail_execution(&mut self, failure: Failure, last: u64) {
        self.record_after(StreamId(0), last, "ExecutionFailed", failure.details());
        self.end(Ending::Failed(failure.into_task_error()));
    }

    pub(super) fn time_out(&mut self) {
        self.record_after(StreamId(0), 0, "ExecutionTimedOut", Details::new());
        let message = "the execution took longer than its definition allows";
        self.end(Ending::TimedOut(TaskError::new(TIMEOUT, message)));
    }

    pub(super) fn abort(&mut self, cause: String, error: Option<String>) {
        let failure = Failure {
            error,
            cause: Some(cause.clone()).filter(|cause| !cause.is_empty()),
            heartbeat: false,
        };
        self.record_after(StreamId(0), 0, "ExecutionAborted", failure.details());
        self.end(Ending::Cancelled(cause));
    }

    fn end(&mut self, ending: Ending) {
        // What this very turn asked for is not asked for after all.
        let asked = |c: &Command| matches!(c, Command::RunTask(_) | Command::SetTimer(..));
        self.commands.retain(|command| !asked(command));
        let tasks = std::mem::take(&mut self.run.tasks);
        self.commands
            .extend(tasks.into_keys().map(Command::CancelTask));
        let timers = std::mem::take(&mut self.run.timers);
        self.commands
            .extend(timers.into_keys().map(Command::ClearTimer));
        if matches!(ending, Ending::Succeeded(_)) {
            // Nobody will ask for it any more.
            self.run.input = Data::default();
            self.run.work.clear();
        }
        self.commands.push(Command::End(ending));
        self.run.ended = true;
    }

    /// Goes on where it stopped: what ran or had failed is tried again, under new keys; what is
    /// recorded is not.
    pub(super) fn redrive(&mut self) {
        if self.run.frames.is_empty() {
            return;
        }
        self.run.ended = false;
        self.run.redrives += 1;
        let redriven = details(json!({ "redriveCount": self.run.redrives }));
        self.record_after(StreamId(0), 0, "ExecutionRedriven", redriven);
        if let Some(seconds) = self.machine.timeout {
            self.set_timer(Duration::from_secs(seconds), Alarm::Execution);
        }
        // What children gave is kept; all else follows from where the frames stand.
        self.run
            .work
            .retain(|work| matches!(work, Work::Succeeded { .. }));
        let frames: Vec<FrameId> = self.run.frames.keys().copied().collect();
        for id in frames {
            if let Some(mut frame) = self.run.frames.remove(&id) {
                if self.restart(&mut frame) {
                    self.run.work.push_back(Work::Advance(id));
                }
                self.run.frames.insert(id, frame);
            }
        }
    }

    /// Prepares a frame to go on; answers whether it does something itself.
    fn restart(&mut self, frame: &mut Frame) -> bool {
        let mut redriven = None;
        let leaf = match &mut frame.position {
            Position::Before(..) => true,
            Position::In(active) => {
                active.retries.fill(0);
                active.call += 1;
                match &mut active.job {
                    Job::Parallel(_) => false,
                    Job::Map(job) if !job.running.is_empty() || !job.stopped.is_empty() => {
                        job.failed -= job.stopped.len();
                        job.running.append(&mut job.stopped);
                        if let Some(run) = &mut job.run {
                            run.redrives += 1;
                            redriven = Some((run.arn.clone(), run.redrives));
                        }
                        false
                    }
                    job => {
                        *job = Job::Attempt;
                        true
                    }
                }
            }
        };
        if let Some((arn, count)) = redriven {
            let redriven = details(json!({ "mapRunArn": arn, "redriveCount": count }));
            self.record(frame, "MapRunRedriven", redriven);
        }
        leaf
    }
}
