//! One transition of a [`TaskGraph`]: a queue of work, so that no input makes it recurse.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::expression::{Scope, size, too_large};
use super::graph::{Call, GraphState, Mapping, Step};
use super::{Expression, Fallback, RetryRule, TaskGraph};
use crate::history::HistoryRecord;
use crate::program::{
    Command, Data, Ending, EventKind, TaskError, TaskNumber, TaskRequest, TaskRetry, TimerNumber,
};

/// How often what the platform calls safe is tried again without a rule.
const PLATFORM_RETRIES: u32 = 5;
/// How long it waits before the first of those retries.
const PLATFORM_INTERVAL: Duration = Duration::from_millis(100);

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
            EventKind::TimerFired { timer } => {
                let call = self.state.timers.remove(&timer);
                self.work.extend(call.map(Work::Launch));
            }
            EventKind::Signalled(signal) => {
                self.record("SignalReceived", json!({ "signal": signal.name }));
            }
            EventKind::CancelRequested { cause, .. } => {
                self.record("ExecutionCancelled", json!({ "cause": cause }));
                self.end(Ending::Cancelled(cause));
            }
            EventKind::Aborted(error) => self.fail(error),
            EventKind::Redriven => {}
            // Its tasks are functions: they end, and that is all.
            EventKind::TaskStarted { .. }
            | EventKind::TaskSubmitted { .. }
            | EventKind::TaskHeartbeat { .. } => {}
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
    fn evaluate(&self, expression: &Expression, call: Option<&Call>) -> Result<Data, TaskError> {
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
            budget: self.graph.limits.data_bytes,
        };
        scope.data(expression)
    }

    fn enter(&mut self, step: usize) {
        let graph = self.graph;
        let Some(map) = &graph.tasks[step].map else {
            self.state.steps[step] = Step::Calling;
            let call = self.call(step, None);
            return self.work.push_back(Work::Launch(call));
        };
        let whole = self.call(step, None);
        let items = self.evaluate(&map.items, None).and_then(|items| {
            let length = items.as_array().map(Vec::len);
            match length {
                None => Err(
                    TaskError::new("Data.NotAList", "what is mapped over is no list")
                        .with_retry(TaskRetry::Never),
                ),
                Some(length) if length > graph.limits.items => {
                    Err(too_large(&format!("{} items", graph.limits.items)))
                }
                Some(length) => Ok((items, length)),
            }
        });
        match items {
            Err(error) => self.work.push_back(Work::Failed(whole, error)),
            Ok((items, length)) => self.enter_map(step, items, length, map.concurrency),
        }
    }

    fn enter_map(&mut self, step: usize, items: Data, length: usize, concurrency: u32) {
        let name = &self.graph.tasks[step].name;
        self.record("MapStarted", json!({ "task": name, "items": length }));
        if length == 0 {
            let empty = Data::new(Value::Array(Vec::new()));
            return self.work.push_back(Work::Done(step, empty));
        }
        let all = if concurrency == 0 {
            length
        } else {
            concurrency as usize
        };
        let next = all.min(length);
        self.state.steps[step] = Step::Mapping(Mapping {
            items,
            next,
            results: vec![None; length],
            done: 0,
        });
        let calls = (0..next).map(|item| Work::Launch(self.call(step, Some(item))));
        let calls: Vec<_> = calls.collect();
        self.work.extend(calls);
    }

    fn launch(&mut self, call: Call) {
        let task = &self.graph.tasks[call.step];
        let caught = call
            .handler
            .as_ref()
            .and_then(|(rule, _)| task.catch.get(*rule));
        let (function, input) = match caught.map(|rule| &rule.then) {
            Some(Fallback::Call { function, input }) => (function, input),
            _ => (&task.function, &task.input),
        };
        let data = match self.evaluate(input, Some(&call)) {
            Ok(data) => data,
            Err(error) => return self.work.push_back(Work::Failed(call, error)),
        };
        let number = TaskNumber(self.number());
        let mut request = TaskRequest::new(number, task.name.as_str(), function.clone(), data);
        request.key = call.key(task.name.as_str());
        request.timeout = task.timeout;
        let details = json!({ "task": task.name, "number": number, "item": call.item });
        self.record("TaskScheduled", details);
        self.commands.push(Command::RunTask(request));
        self.state.calls.insert(number, call);
    }

    fn failed(&mut self, mut call: Call, error: &TaskError) {
        if call.handler.is_some() {
            return self.fail(error.clone());
        }
        if let Some(delay) = self.retry_delay(&mut call, error) {
            return self.retry(call, delay);
        }
        let rules = &self.graph.tasks[call.step].catch;
        let matching =
            |errors: &[super::ErrorPattern]| errors.iter().any(|p| p.matches(&error.kind));
        let Some(rule) = rules.iter().position(|rule| matching(&rule.errors)) else {
            return self.fail(error.clone());
        };
        let name = &self.graph.tasks[call.step].name;
        self.record(
            "TaskCaught",
            json!({ "task": name, "item": call.item, "kind": error.kind }),
        );
        let caught =
            json!({ "kind": error.kind, "message": error.message, "details": error.details });
        call.handler = Some((rule, caught));
        self.work.push_back(match &rules[rule].then {
            Fallback::Call { .. } => Work::Launch(call),
            Fallback::Value(value) => match self.evaluate(value, Some(&call)) {
                Ok(data) => Work::Answered(call, data),
                Err(error) => Work::Failed(call, error),
            },
        });
    }

    /// How long to wait before the next attempt, if there is one.
    fn retry_delay(&self, call: &mut Call, error: &TaskError) -> Option<Duration> {
        if error.retry == TaskRetry::Never {
            return None;
        }
        let rules = &self.graph.tasks[call.step].retry;
        let matching = |rule: &RetryRule| rule.errors.iter().any(|p| p.matches(&error.kind));
        let platform = RetryRule::new(PLATFORM_RETRIES, PLATFORM_INTERVAL);
        let (index, rule) = match rules.iter().position(matching) {
            Some(index) => (index, &rules[index]),
            None if error.retry == TaskRetry::Safe => (rules.len(), &platform),
            None => return None,
        };
        let retries = call
            .retries
            .get_mut(index)
            .filter(|done| **done < rule.retries)?;
        let delay = rule.delay(*retries, self.entropy);
        *retries += 1;
        if error.retry == TaskRetry::Program {
            // The function answered; an attempt under the same key might be given that answer again.
            call.renewals += 1;
        }
        Some(delay.max(error.retry_after.unwrap_or_default()))
    }

    fn retry(&mut self, call: Call, delay: Duration) {
        let name = &self.graph.tasks[call.step].name;
        let details =
            json!({ "task": name, "item": call.item, "after_ms": delay.as_millis() as u64 });
        self.record("TaskRetried", details);
        if delay.is_zero() {
            return self.work.push_back(Work::Launch(call));
        }
        let timer = TimerNumber(self.number());
        let at = self.at.checked_add(delay).unwrap_or(Timestamp::MAX);
        self.commands.push(Command::SetTimer(timer, at));
        self.state.timers.insert(timer, call);
    }

    fn answered(&mut self, call: &Call, data: Data) {
        if size(&data) > self.graph.limits.data_bytes {
            return self.fail(too_large("the limit of data"));
        }
        let step = call.step;
        // A map whose list could not be had has no items: a caught answer is its result.
        let (Some(item), Step::Mapping(mapping)) = (call.item, &mut self.state.steps[step]) else {
            return self.work.push_back(Work::Done(step, data));
        };
        mapping.results[item] = Some(data);
        mapping.done += 1;
        if mapping.done == mapping.results.len() {
            let results = std::mem::take(&mut mapping.results);
            return self.collect(step, results);
        }
        if mapping.next < mapping.results.len() {
            let next = mapping.next;
            mapping.next += 1;
            let call = self.call(step, Some(next));
            self.work.push_back(Work::Launch(call));
        }
    }

    fn collect(&mut self, step: usize, results: Vec<Option<Data>>) {
        let results = results.into_iter().flatten();
        let value = Value::Array(results.map(std::sync::Arc::unwrap_or_clone).collect());
        // A map's result may be as large as all its items' together, within reason.
        if size(&value) > self.graph.limits.data_bytes.saturating_mul(16) {
            return self.fail(too_large("16 times the limit of data"));
        }
        self.work.push_back(Work::Done(step, Data::new(value)));
    }

    fn done(&mut self, step: usize, data: Data) {
        self.state.steps[step] = Step::Done(data);
        self.state.unfinished -= 1;
        for &dependent in &self.graph.dependents[step] {
            if let Step::Waiting { missing } = &mut self.state.steps[dependent] {
                *missing -= 1;
                if *missing == 0 {
                    self.work.push_back(Work::Enter(dependent));
                }
            }
        }
    }

    fn succeed(&mut self) {
        match self.evaluate(&self.graph.output, None) {
            Ok(output) => {
                self.record("ExecutionSucceeded", json!({}));
                self.end(Ending::Succeeded(output));
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: TaskError) {
        let details = json!({ "kind": error.kind, "message": error.message });
        self.record("ExecutionFailed", details);
        self.end(Ending::Failed(error));
    }

    fn end(&mut self, ending: Ending) {
        let calls = std::mem::take(&mut self.state.calls);
        // What this very turn asked for is not asked for after all.
        self.commands
            .retain(|c| !matches!(c, Command::RunTask(_) | Command::SetTimer(..)));
        self.commands
            .extend(calls.into_keys().map(Command::CancelTask));
        let timers = std::mem::take(&mut self.state.timers);
        self.commands
            .extend(timers.into_keys().map(Command::ClearTimer));
        self.commands.push(Command::End(ending));
        self.state.ended = true;
    }
}
