//! Calls: made, made again, answered.

use std::time::Duration;

use serde_json::json;

use super::{Turn, Work};
use crate::builder::expression::{size, too_large};
use crate::builder::graph::{Call, Step, Wake};
use crate::builder::{ErrorPattern, Fallback, RetryRule, TaskRun};
use crate::program::{
    Command, Data, TaskError, TaskNumber, TaskRequest, TaskRetry, TaskTarget, TaskToken,
};

/// How often what the platform calls safe is tried again without a rule.
const PLATFORM_RETRIES: u32 = 5;
/// How long it waits before the first of those retries.
const PLATFORM_INTERVAL: Duration = Duration::from_millis(100);

impl Turn<'_> {
    pub(super) fn launch(&mut self, call: Call) {
        let task = &self.graph.tasks[call.step];
        let caught = call.handler.as_ref();
        let caught = caught.and_then(|(rule, _)| task.catch.get(*rule));
        let (target, input) = match caught.map(|rule| &rule.then) {
            Some(Fallback::Call { function, input }) => {
                (TaskTarget::Function(function.clone()), input)
            }
            _ => match task.run.target() {
                Some(target) => (target, &task.input),
                None => return self.wait(call),
            },
        };
        let number = TaskNumber(self.number());
        let own = call.handler.is_none();
        let token = (own && matches!(task.run, TaskRun::Callback(_) | TaskRun::Worker(_)))
            .then(|| TaskToken::new(self.state.execution, number, self.entropy));
        let data = match self.evaluate(input, Some(&call), token.as_ref()) {
            Ok(data) => data,
            Err(error) => return self.work.push_back(Work::Failed(call, error)),
        };
        let mut request = TaskRequest::of(number, task.name.as_str(), target, data);
        request.key = call.key(task.name.as_str(), self.state.redrives);
        request.timeout = task.timeout;
        request.token = token;
        request.priority = task.priority;
        let details = json!({ "task": task.name, "number": number, "item": call.item });
        self.record("TaskScheduled", details);
        self.commands.push(Command::RunTask(request));
        self.state.calls.insert(number, call);
    }

    pub(super) fn failed(&mut self, mut call: Call, error: &TaskError) {
        if call.handler.is_some() {
            return self.fail(error.clone());
        }
        if let Some(delay) = self.retry_delay(&mut call, error) {
            return self.retry(call, delay);
        }
        let rules = &self.graph.tasks[call.step].catch;
        let matching = |errors: &[ErrorPattern]| errors.iter().any(|p| p.matches(&error.kind));
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
            Fallback::Value(value) => match self.evaluate(value, Some(&call), None) {
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
        self.set_timer(delay, Wake::Retry(call));
    }

    pub(super) fn answered(&mut self, call: &Call, data: Data) {
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
}
