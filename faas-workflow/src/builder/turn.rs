//! One transition of a [`TaskGraph`]: a queue of work, so that no input makes it recurse.

mod calls;
mod ending;
mod steps;

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::expression::Scope;
use super::graph::{Call, GraphState, Step, Wake};
use super::{Expression, TaskGraph};
use crate::history::HistoryRecord;
use crate::program::{
    Command, Data, Ending, EventKind, TaskError, TaskNumber, TaskToken, TimerNumber,
};

enum Work {
    Enter(usize),
    Launch(Call),
    Failed(Call, TaskError),
    Answered(Call, Data),
    Done(usize, Data),
}

pub(super) struct Turn<'a> {
    graph: &'a TaskGraph,
    state: GraphState,
    at: Timestamp,
    entropy: u64,
    work: VecDeque<Work>,
    commands: Vec<Command>,
    records: Vec<HistoryRecord>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        graph: &'a TaskGraph,
        state: GraphState,
        at: Timestamp,
        entropy: u64,
    ) -> Self {
        Self {
            graph,
            state,
            at,
            entropy,
            work: VecDeque::new(),
            commands: Vec::new(),
            records: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, free: impl Iterator<Item = usize>) {
        self.record("ExecutionStarted", json!({}));
        self.work.extend(free.map(Work::Enter));
    }

    pub(super) fn event(&mut self, event: EventKind) {
        if self.state.ended {
            if event == EventKind::Redriven {
                self.redrive();
            }
            return;
        }
        match event {
            EventKind::TaskEnded { task, result } => {
                if let Some(call) = self.state.calls.remove(&task) {
                    self.record_end(task, &call, &result);
                    self.work.push_back(match result {
                        Ok(data) => Work::Answered(call, data),
                        Err(error) => Work::Failed(call, error),
                    });
                }
            }
            EventKind::TimerFired { timer } => self.woken(timer),
            EventKind::Signalled(signal) => self.signalled(signal),
            EventKind::CancelRequested { cause, .. } => {
                self.record("ExecutionCancelled", json!({ "cause": cause }));
                self.end(Ending::Cancelled(cause));
            }
            EventKind::Aborted(error) => self.fail(error),
            EventKind::TaskStarted { task, worker } => {
                self.record_progress("TaskStarted", task, json!({ "worker": worker }));
            }
            EventKind::TaskSubmitted { task, .. } => {
                self.record_progress("TaskSubmitted", task, json!({}));
            }
            EventKind::TaskHeartbeat { task } => {
                self.record_progress("TaskHeartbeat", task, json!({}));
            }
            EventKind::Redriven => {}
        }
    }

    pub(super) fn finish(mut self) -> (GraphState, Vec<Command>, Vec<HistoryRecord>) {
        while !self.state.ended {
            match self.work.pop_front() {
                Some(work) => self.work(work),
                None if self.state.unfinished == 0 => self.succeed(),
                None => break,
            }
        }
        (self.state, self.commands, self.records)
    }

    fn work(&mut self, work: Work) {
        match work {
            Work::Enter(step) => self.enter(step),
            Work::Launch(call) => self.launch(call),
            Work::Failed(call, error) => self.failed(call, &error),
            Work::Answered(call, data) => self.answered(&call, data),
            Work::Done(step, data) => self.done(step, data),
        }
    }

    fn record(&mut self, kind: &str, details: Value) {
        self.state.last_record += 1;
        let record = HistoryRecord::new(self.state.last_record, self.at, kind, details);
        self.records.push(record);
    }

    fn record_end(&mut self, task: TaskNumber, call: &Call, result: &Result<Data, TaskError>) {
        let name = &self.graph.tasks[call.step].name;
        match result {
            Ok(_) => self.record(
                "TaskSucceeded",
                json!({ "task": name, "number": task, "item": call.item }),
            ),
            Err(error) => {
                let details = json!({ "task": name, "number": task, "item": call.item,
                    "kind": error.kind, "message": error.message });
                self.record("TaskFailed", details);
            }
        }
    }

    fn record_progress(&mut self, kind: &str, task: TaskNumber, mut details: Value) {
        if let Some(call) = self.state.calls.get(&task) {
            details["task"] = json!(self.graph.tasks[call.step].name);
            details["number"] = json!(task);
            details["item"] = json!(call.item);
            self.record(kind, details);
        }
    }

    fn set_timer(&mut self, after: Duration, wake: Wake) -> TimerNumber {
        let timer = TimerNumber(self.number());
        let at = self.at.checked_add(after).unwrap_or(Timestamp::MAX);
        self.commands.push(Command::SetTimer(timer, at));
        self.state.timers.insert(timer, wake);
        timer
    }

    fn number(&mut self) -> u64 {
        self.state.last_number += 1;
        self.state.last_number
    }

    fn call(&self, step: usize, item: Option<usize>) -> Call {
        Call {
            step,
            item,
            renewals: 0,
            retries: vec![0; self.graph.tasks[step].retry.len() + 1],
            handler: None,
        }
    }

    /// Evaluates an expression as `call` sees the world.
    fn evaluate(
        &self,
        expression: &Expression,
        call: Option<&Call>,
        token: Option<&TaskToken>,
    ) -> Result<Data, TaskError> {
        let result = |name: &str| match self.state.steps.get(*self.graph.index.get(name)?)? {
            Step::Done(data) => Some(data.clone()),
            _ => None,
        };
        let item = call.and_then(|call| {
            let index = call.item?;
            let Step::Mapping(mapping) = &self.state.steps[call.step] else {
                return None;
            };
            Some((index, mapping.items.get(index)?))
        });
        let error = call.and_then(|call| call.handler.as_ref().map(|(_, error)| error));
        let mut scope = Scope {
            input: &self.state.input,
            result: &result,
            item,
            error,
            token,
            budget: self.graph.limits.data_bytes,
        };
        scope.data(expression)
    }
}
