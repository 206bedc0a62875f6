//! [`Turn`]: one transition of an execution, as a queue of work, so that nothing makes it recurse.

use std::collections::BTreeMap;
use std::time::Duration;

use faas_core::policy::SeededRandom;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::context::{Context, TOP};
use super::evaluate::Evaluator;
use super::failure::{DATA_LIMIT, Failure, RUNTIME, Trouble};
use super::frame::{Active, Frame, FrameId, Job, Position, StreamId};
use super::records::{details, text};
use super::{Alarm, Run, Work};
use crate::asl::model::StateMachine;
use crate::asl::value::{is_deeper, size};
use crate::history::HistoryRecord;
use crate::program::{Command, Data, EventKind, TaskNumber, TaskRequest, TimerNumber};

/// How many states a turn tries before it lets others go on.
const SHARE: usize = 512;

pub(super) struct Turn<'a> {
    pub(super) machine: &'a StateMachine,
    pub(super) run: Run,
    pub(super) at: Timestamp,
    pub(super) entropy: u64,
    pub(super) random: SeededRandom,
    /// Whether a history has become too long.
    pub(super) overflow: bool,
    pub(super) commands: Vec<Command>,
    pub(super) records: Vec<HistoryRecord>,
}

/// Where a frame stands after a step.
pub(super) enum After {
    /// It waits.
    Blocked,
    /// It can go on at once.
    Again,
    /// It is in a Map that has no items.
    NoItems,
    /// Its last state is over.
    Done(Data),
    /// A state of it failed, and nothing caught that.
    Failed(Failure),
}

/// What expressions draw from tells nothing of the entropy that secrets are made of.
fn derived(entropy: u64) -> SeededRandom {
    let digest = Sha256::digest(entropy.to_be_bytes());
    let seed = digest
        .iter()
        .take(8)
        .fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    SeededRandom::new(seed)
}

impl<'a> Turn<'a> {
    pub(super) fn new(machine: &'a StateMachine, run: Run, at: Timestamp, entropy: u64) -> Self {
        Self {
            machine,
            run,
            at,
            entropy,
            random: derived(entropy),
            overflow: false,
            commands: Vec::new(),
            records: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self) {
        let input = self.run.input.clone();
        self.record_after(
            StreamId(0),
            0,
            "ExecutionStarted",
            details(json!({ "input": text(&input) })),
        );
        if let Some(seconds) = self.machine.timeout {
            self.set_timer(Duration::from_secs(seconds), Alarm::Execution);
        }
        if let Err(trouble) = self.check_size(&input, "input") {
            return self.fail_execution(Failure::new(trouble.error, trouble.detail), 0);
        }
        self.run.last_frame = TOP.0;
        let frame = Frame {
            id: TOP,
            link: None,
            stream: StreamId(0),
            place: String::new(),
            steps: 0,
            // AWS lets the first state follow nothing.
            last: 0,
            variables: BTreeMap::new(),
            item: None,
            child: None,
            position: Position::Before(self.machine.start, input),
        };
        self.run.frames.insert(TOP, frame);
        self.run.work.push_back(Work::Advance(TOP));
    }

    pub(super) fn event(&mut self, event: EventKind) {
        if self.run.ended {
            if event == EventKind::Redriven {
                self.redrive();
            }
            return;
        }
        match event {
            EventKind::TaskEnded { task, result } => self.task_ended(task, result),
            EventKind::TaskStarted { task, worker } => self.task_started(task, worker),
            EventKind::TaskSubmitted { task, output } => self.task_submitted(task, &output),
            EventKind::TaskHeartbeat { task } => self.task_heartbeat(task),
            EventKind::TimerFired { timer } => self.timer_fired(timer),
            EventKind::Signalled(_) => {}
            EventKind::CancelRequested { cause, error } => self.abort(cause, error),
            EventKind::Redriven => {}
            EventKind::Aborted(error) => {
                let failure = Failure::new(error.kind, error.message);
                self.fail_execution(failure, 0);
            }
        }
    }

    fn timer_fired(&mut self, timer: TimerNumber) {
        match self.run.timers.remove(&timer) {
            None | Some(Alarm::Work) => {}
            Some(Alarm::Execution) => self.time_out(),
            Some(Alarm::Delay(frame)) => self.delay_over(frame, timer),
            Some(Alarm::Timeout(frame)) => self.task_timed_out(frame, timer, false),
            Some(Alarm::Heartbeat(frame)) => self.task_timed_out(frame, timer, true),
        }
    }

    /// Does the work, as far as this turn may.
    pub(super) fn finish(mut self) -> (Run, Vec<Command>, Vec<HistoryRecord>) {
        let mut left = SHARE;
        while !self.run.ended {
            if self.overflow {
                let limit = self.machine.settings.limits.history_events;
                let cause = format!(
                    "The execution reached the maximum number of history events ({limit})."
                );
                self.fail_execution(Failure::new(RUNTIME, cause), 0);
                break;
            }
            if left == 0 && !self.run.work.is_empty() {
                self.set_timer(Duration::ZERO, Alarm::Work);
                break;
            }
            left -= 1;
            match self.run.work.pop_front() {
                Some(Work::Advance(frame)) => self.advance(frame),
                Some(Work::Succeeded { link, output, last }) => {
                    self.child_succeeded(link, output, last);
                }
                Some(Work::Failed {
                    link,
                    failure,
                    last,
                }) => self.child_failed(link, failure, last),
                None => break,
            }
        }
        (self.run, self.commands, self.records)
    }

    /// Takes a frame one state further; one that is gone was cancelled.
    fn advance(&mut self, id: FrameId) {
        let Some(mut frame) = self.run.frames.remove(&id) else {
            return;
        };
        let after = self.go(&mut frame);
        self.settle(frame, after);
    }

    /// What follows from where a frame stands.
    pub(super) fn settle(&mut self, frame: Frame, after: After) {
        let (id, link, last) = (frame.id, frame.link, frame.last);
        match (after, link) {
            (After::Blocked | After::NoItems, _) => drop(self.run.frames.insert(id, frame)),
            (After::Again, _) => {
                self.run.frames.insert(id, frame);
                self.run.work.push_back(Work::Advance(id));
            }
            (After::Done(output), Some(link)) => {
                self.forget_stream(&frame);
                self.run
                    .work
                    .push_back(Work::Succeeded { link, output, last });
            }
            (After::Failed(failure), link) => {
                self.run.frames.insert(id, frame);
                match link {
                    None => self.fail_execution(failure, last),
                    Some(link) => self.run.work.push_back(Work::Failed {
                        link,
                        failure,
                        last,
                    }),
                }
            }
            (After::Done(output), None) => self.succeed(&frame, output),
        }
    }

    fn forget_stream(&mut self, frame: &Frame) {
        if frame.child.is_some() {
            self.run.streams.remove(&frame.stream);
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.run.numbers += 1;
        self.run.numbers
    }

    pub(super) fn frame_id(&mut self) -> FrameId {
        self.run.last_frame += 1;
        FrameId(self.run.last_frame)
    }

    pub(super) fn set_timer(&mut self, after: Duration, alarm: Alarm) -> TimerNumber {
        let at = self.at.checked_add(after).unwrap_or(Timestamp::MAX);
        self.set_timer_at(at, alarm)
    }

    pub(super) fn set_timer_at(&mut self, at: Timestamp, alarm: Alarm) -> TimerNumber {
        let timer = TimerNumber(self.number());
        self.run.timers.insert(timer, alarm);
        self.commands.push(Command::SetTimer(timer, at));
        timer
    }

    pub(super) fn clear_timer(&mut self, timer: TimerNumber) {
        if self.run.timers.remove(&timer).is_some() {
            self.commands.push(Command::ClearTimer(timer));
        }
    }

    pub(super) fn run_task(&mut self, frame: FrameId, request: TaskRequest) {
        self.run.tasks.insert(request.task, frame);
        self.commands.push(Command::RunTask(request));
    }

    /// Whatever a frame computes is computed with this.
    pub(super) fn evaluator<'e>(
        &'e mut self,
        frame: &'e Frame,
        active: &'e Active,
        input: &'e Data,
    ) -> Evaluator<'e> {
        let context = Context {
            machine: self.machine,
            run: &self.run,
            frame,
            active,
            token: None,
            item: None,
        };
        Evaluator::new(context, input, &mut self.random, self.at)
    }

    /// Whether data may be so large.
    pub(super) fn check_size(&self, value: &Value, name: &str) -> Result<(), Trouble> {
        let limits = &self.machine.settings.limits;
        if size(value) > limits.data_bytes {
            return Err(Trouble::new(DATA_LIMIT, super::evaluate::data_limit(name)));
        }
        if is_deeper(value, limits.data_depth) {
            let levels = limits.data_depth;
            let detail = format!(
                "The state/task '{name}' returned a result that nests deeper than {levels} levels."
            );
            return Err(Trouble::new(DATA_LIMIT, detail));
        }
        Ok(())
    }

    /// Drops all that frames within these wait for.
    pub(super) fn cancel(&mut self, frames: impl IntoIterator<Item = FrameId>) {
        let mut open: Vec<FrameId> = frames.into_iter().collect();
        while let Some(id) = open.pop() {
            let Some(frame) = self.run.frames.remove(&id) else {
                continue;
            };
            self.forget_stream(&frame);
            if let Position::In(active) = frame.position {
                self.cancel_job(active.job, &mut open);
            }
        }
    }

    pub(super) fn cancel_job(&mut self, job: Job, open: &mut Vec<FrameId>) {
        match job {
            Job::Attempt => {}
            Job::Delay { timer, .. } => self.clear_timer(timer),
            Job::Task(task) => {
                let heartbeat = task.heartbeat.map(|(timer, _)| timer);
                task.timeout
                    .into_iter()
                    .chain(heartbeat)
                    .for_each(|t| self.clear_timer(t));
                self.cancel_task(task.number);
            }
            Job::Parallel(parallel) => open.extend(parallel.running),
            Job::Map(map) => {
                open.extend(map.running.into_iter().chain(map.stopped));
                if let Some(task) = map.run.and_then(|run| run.task) {
                    self.cancel_task(task);
                }
            }
        }
    }

    pub(super) fn cancel_task(&mut self, task: TaskNumber) {
        if self.run.tasks.remove(&task).is_some() {
            self.commands.push(Command::CancelTask(task));
        }
    }
}
