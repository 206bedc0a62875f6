//! Tasks of the graph: entered, waited for, done.

use faas_core::{FunctionError, Name};
use serde_json::{Value, json};

use super::{Turn, Work};
use crate::builder::TaskRun;
use crate::builder::expression::{size, too_large};
use crate::builder::graph::{Awaiting, Call, Mapping, Step, Wake};
use crate::program::{Command, Data, Signal, TaskError, TaskRetry, TimerNumber};

impl Turn<'_> {
    pub(super) fn enter(&mut self, step: usize) {
        let graph = self.graph;
        let Some(map) = &graph.tasks[step].map else {
            self.state.steps[step] = Step::Calling;
            let call = self.call(step, None);
            return self.work.push_back(Work::Launch(call));
        };
        let whole = self.call(step, None);
        let items = self.evaluate(&map.items, None, None).and_then(|items| {
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

    /// Waits for what nobody runs: a signal, or time.
    pub(super) fn wait(&mut self, call: Call) {
        let task = &self.graph.tasks[call.step];
        match &task.run {
            TaskRun::Sleep(time) => {
                self.record("SleepStarted", json!({ "task": task.name }));
                self.set_timer(*time, Wake::Slept(call));
            }
            TaskRun::Signal(name) => {
                let kept = self.state.signals.iter().position(|s| s.name == *name);
                if let Some(signal) = kept.and_then(|kept| self.state.signals.remove(kept)) {
                    return self.work.push_back(Work::Answered(call, signal.data));
                }
                let timer = task
                    .timeout
                    .map(|timeout| self.set_timer(timeout, Wake::Late));
                self.state.awaiting.push(Awaiting {
                    signal: name.clone(),
                    call,
                    timer,
                });
            }
            // The others have a target.
            _ => {}
        }
    }

    pub(super) fn signalled(&mut self, signal: Signal) {
        self.record("SignalReceived", json!({ "signal": signal.name }));
        let first = self.take_awaiting(|waits, _| *waits == signal.name);
        if let Some(waited) = first {
            if let Some(timer) = waited.timer {
                self.state.timers.remove(&timer);
                self.commands.push(Command::ClearTimer(timer));
            }
            return self
                .work
                .push_back(Work::Answered(waited.call, signal.data));
        }
        if self.state.signals.len() >= self.graph.limits.signals {
            let oldest = self.state.signals.pop_front();
            let oldest = oldest.map(|signal| signal.name);
            self.record("SignalDropped", json!({ "signal": oldest }));
        }
        self.state.signals.push_back(signal);
    }

    fn take_awaiting(
        &mut self,
        wanted: impl Fn(&Name, Option<TimerNumber>) -> bool,
    ) -> Option<Awaiting> {
        let awaiting = &mut self.state.awaiting;
        let found = awaiting
            .iter()
            .position(|one| wanted(&one.signal, one.timer));
        found.map(|found| awaiting.remove(found))
    }

    pub(super) fn woken(&mut self, timer: TimerNumber) {
        match self.state.timers.remove(&timer) {
            None => {}
            Some(Wake::Retry(call)) => self.work.push_back(Work::Launch(call)),
            Some(Wake::Slept(call)) => {
                let nothing = Data::new(Value::Null);
                self.work.push_back(Work::Answered(call, nothing));
            }
            Some(Wake::Late) => {
                let late = self.take_awaiting(|_, at| at == Some(timer));
                let error = || TaskError::new(FunctionError::TIMEOUT, "no signal came in time");
                let failed = late.map(|late| Work::Failed(late.call, error()));
                self.work.extend(failed);
            }
        }
    }

    pub(super) fn collect(&mut self, step: usize, results: Vec<Option<Data>>) {
        let results = results.into_iter().flatten();
        let value = Value::Array(results.map(std::sync::Arc::unwrap_or_clone).collect());
        // A map's result may be as large as all its items' together, within reason.
        if size(&value) > self.graph.limits.data_bytes.saturating_mul(16) {
            return self.fail(too_large("16 times the limit of data"));
        }
        self.work.push_back(Work::Done(step, Data::new(value)));
    }

    pub(super) fn done(&mut self, step: usize, data: Data) {
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
}
