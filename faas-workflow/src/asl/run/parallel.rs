//! Parallel states.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::Turn;
use super::child::Start;
use super::failure::Trouble;
use super::frame::{Active, Frame, Job, ParallelJob};
use super::records::Details;
use super::recovery::Broken;
use super::turn::After;
use crate::asl::model::{State, StateIndex};
use crate::program::Data;

impl Turn<'_> {
    pub(super) fn start_branches(
        &mut self,
        frame: &mut Frame,
        active: &mut Active,
        state: &State,
        branches: &[StateIndex],
        input: Data,
    ) -> Result<After, Trouble> {
        let input = match &state.flow.arguments {
            Some(template) => self.evaluator(frame, active, &input).data(template)?,
            None => input,
        };
        self.check_size(&input, &state.name)?;
        self.record(frame, "ParallelStateStarted", Details::new());
        let mut running = BTreeSet::new();
        for (slot, branch) in branches.iter().enumerate() {
            let start = Start {
                slot,
                attempt: active.retry_count,
                state: *branch,
                input: input.clone(),
                last: frame.last,
                item: None,
                child: None,
            };
            running.insert(self.start_child(frame, start));
        }
        active.job = Job::Parallel(ParallelJob {
            results: vec![None; branches.len()],
            running,
        });
        Ok(After::Blocked)
    }

    pub(super) fn branch_succeeded(
        &mut self,
        frame: &mut Frame,
        mut active: Box<Active>,
        job: ParallelJob,
        last: u64,
    ) -> After {
        frame.last = last;
        if !job.running.is_empty() {
            active.job = Job::Parallel(job);
            return self.keep(frame, active, After::Blocked);
        }
        self.record_after(frame.stream, last, "ParallelStateSucceeded", Details::new());
        self.aggregate(frame, active, job.results)
    }

    /// Leaves a state whose result is the list of its children's.
    pub(super) fn aggregate(
        &mut self,
        frame: &mut Frame,
        mut active: Box<Active>,
        results: Vec<Option<Data>>,
    ) -> After {
        let results = results.into_iter().flatten();
        let list = Value::Array(results.map(Arc::unwrap_or_clone).collect());
        let state = self.machine.state(active.state);
        match self.exit(frame, &mut active, state, Arc::new(list)) {
            Ok(after) => self.keep(frame, active, after),
            Err(trouble) => self.own_failed(frame, active, trouble, Broken::Itself),
        }
    }
}
