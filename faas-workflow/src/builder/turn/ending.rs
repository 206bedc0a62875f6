//! The end of an execution, and its going on after all.

use serde_json::json;

use super::{Turn, Work};
use crate::builder::graph::Step;
use crate::program::{Command, Ending, TaskError};

impl Turn<'_> {
    pub(super) fn succeed(&mut self) {
        match self.evaluate(&self.graph.output, None, None) {
            Ok(output) => {
                self.record("ExecutionSucceeded", json!({}));
                self.end(Ending::Succeeded(output));
            }
            Err(error) => self.fail(error),
        }
    }

    pub(super) fn fail(&mut self, error: TaskError) {
        let details = json!({ "kind": error.kind, "message": error.message });
        self.record("ExecutionFailed", details);
        self.end(Ending::Failed(error));
    }

    pub(super) fn end(&mut self, ending: Ending) {
        let calls = std::mem::take(&mut self.state.calls);
        // What this very turn asked for is not asked for after all.
        self.commands
            .retain(|c| !matches!(c, Command::RunTask(_) | Command::SetTimer(..)));
        self.commands
            .extend(calls.into_keys().map(Command::CancelTask));
        self.state.awaiting.clear();
        let timers = std::mem::take(&mut self.state.timers);
        self.commands
            .extend(timers.into_keys().map(Command::ClearTimer));
        self.commands.push(Command::End(ending));
        self.state.ended = true;
    }

    /// Goes on where it stopped: what was running or had failed is called again, under new keys.
    pub(super) fn redrive(&mut self) {
        self.state.ended = false;
        self.state.redrives += 1;
        self.record("ExecutionRedriven", json!({}));
        for step in 0..self.state.steps.len() {
            match &self.state.steps[step] {
                Step::Waiting { missing: 0 } => self.work.push_back(Work::Enter(step)),
                Step::Calling => {
                    let call = self.call(step, None);
                    self.work.push_back(Work::Launch(call));
                }
                // Its results were put together when it failed: it begins anew.
                Step::Mapping(map) if map.results.is_empty() => {
                    self.work.push_back(Work::Enter(step));
                }
                Step::Mapping(map) => {
                    let open = (0..map.next).filter(|item| map.results[*item].is_none());
                    let calls: Vec<_> = open.map(|item| self.call(step, Some(item))).collect();
                    self.work.extend(calls.into_iter().map(Work::Launch));
                }
                Step::Waiting { .. } | Step::Done(_) => {}
            }
        }
    }
}
