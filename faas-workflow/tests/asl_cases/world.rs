//! The world of a case: its tasks answer as they did when AWS was recorded.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use faas_workflow::TaskError;
use faas_workflow::program::{EventKind, TaskRequest, TaskTarget};
use serde_json::{Value, json};

use crate::case::{Case, Execution, Outcome};
use crate::compare::Comparison;
use crate::drive::Target;
use crate::files;

/// How long a task takes to answer: less than any timeout.
const QUICK: Duration = Duration::from_millis(10);

pub(crate) struct World<'a> {
    case: &'a Case,
    execution: &'a Execution,
    outcomes: Vec<Option<Outcome>>,
    /// What to answer where nothing was recorded.
    pub(crate) guess: Option<Value>,
    /// Whether anything was answered that was not recorded.
    pub(crate) guessed: bool,
    /// What was asked otherwise than AWS asked it.
    pub(crate) faults: Vec<String>,
    /// What the numbered wildcards of requests stand for.
    comparison: Comparison,
}

impl<'a> World<'a> {
    pub(crate) fn new(case: &'a Case, execution: &'a Execution) -> Self {
        let outcomes = execution.task_outcomes.iter().flatten();
        Self {
            case,
            execution,
            outcomes: outcomes.cloned().map(Some).collect(),
            guess: None,
            guessed: false,
            faults: Vec::new(),
            comparison: Comparison::new(case),
        }
    }

    /// The recorded outcome of this request: the first of its state that fits, or the first at all.
    fn take(&mut self, request: &TaskRequest) -> Option<Outcome> {
        let of_state =
            |outcome: &Option<Outcome>| outcome.as_ref().is_some_and(|o| o.state == request.label);
        let fits = |outcome: &Option<Outcome>| {
            let mut comparison = self.comparison.clone();
            outcome.as_ref().is_some_and(|o| {
                o.state == request.label && comparison.fits(&o.request, &request.input)
            })
        };
        if let Some(index) = self.outcomes.iter().position(fits) {
            let found = self.outcomes[index].take();
            if let Some(found) = &found {
                self.comparison.fits(&found.request, &request.input);
            }
            return found;
        }
        let index = self.outcomes.iter().position(of_state)?;
        let found = self.outcomes[index].take();
        let wanted = found.as_ref().map(|found| found.request.to_string());
        let fault = format!(
            "{} asks {}, not {}",
            request.label,
            request.input,
            wanted.unwrap_or_default()
        );
        self.faults.push(fault);
        found
    }

    /// The worker that took an activity, as the history has it.
    fn worker(&self, outcome: &Outcome) -> Option<String> {
        let events = self.execution.expected.history.iter().flatten();
        let mut started = events
            .filter(|e| e.kind == "ActivityStarted" && e.previous == outcome.scheduled_event_id);
        let worker = started.next()?.details.get("workerName")?;
        worker.as_str().map(Into::into)
    }

    fn unrecorded(&mut self, request: &TaskRequest) -> Result<Value, TaskError> {
        if let TaskTarget::Resource { name, .. } = &request.target
            && name.as_str().contains(":s3:")
        {
            return files::read(self.case, self.execution, &request.label);
        }
        self.guessed = true;
        if let Some(guess) = &self.guess {
            return Ok(guess.clone());
        }
        let functions = self.case.functions.iter().flatten();
        let named: HashMap<_, _> = functions
            .map(|f| (f.name.as_deref(), &f.behaviour))
            .collect();
        let target = format!("{} {}", request.target, request.input);
        let behaviour = named
            .iter()
            .find(|(name, _)| name.is_some_and(|name| target.contains(name)))
            .map_or("", |(_, behaviour)| behaviour.as_str());
        if behaviour.contains("raises") {
            return Err(self.raised());
        }
        let payload = request.input.get("Payload");
        match &request.target {
            TaskTarget::Resource { name, .. } if name.as_str().ends_with(":lambda:invoke") => {
                let payload = payload.unwrap_or(&Value::Null);
                Ok(json!({ "Payload": payload, "StatusCode": 200, "ExecutedVersion": "$LATEST" }))
            }
            _ => Ok(Value::clone(&request.input)),
        }
    }

    /// The error that a function raises always is the one that the execution shows in the end.
    fn raised(&self) -> TaskError {
        fn find(value: &Value) -> Option<(String, String)> {
            let text = |name| Some(value.get(name)?.as_str()?.to_owned());
            let own = text("Error").zip(text("Cause"));
            own.or_else(|| value.as_object()?.values().find_map(find))
        }
        let expected = &self.execution.expected;
        let shown = expected.output.as_ref().and_then(find);
        let (error, cause) = shown.unwrap_or_else(|| {
            let text = |value: &Option<Value>| value.as_ref().map(as_text).unwrap_or_default();
            (text(&expected.error), text(&expected.cause))
        });
        error_of(&error, &cause)
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), Into::into)
}

/// An error of a service, or of a function: what a function says is JSON.
fn error_of(error: &str, cause: &str) -> TaskError {
    let mut told = TaskError::new(error, cause);
    if cause.starts_with('{') {
        told.details = Some(cause.into());
    }
    told
}

impl Target for World<'_> {
    fn call(&mut self, request: &TaskRequest) -> Vec<(Duration, EventKind)> {
        let task = request.task;
        let mut events = Vec::new();
        let ended = |result: Result<Value, TaskError>| EventKind::TaskEnded {
            task,
            result: result.map(Arc::new),
        };
        let Some(found) = self.take(request) else {
            events.push((QUICK, ended(self.unrecorded(request))));
            return events;
        };
        let worker = self.worker(&found);
        events.push((QUICK / 4, EventKind::TaskStarted { task, worker }));
        if let Some(submitted) = found.submitted {
            let output = Arc::new(submitted);
            events.push((QUICK / 2, EventKind::TaskSubmitted { task, output }));
        }
        let Some(outcome) = found.outcome else {
            return events;
        };
        if let Some(output) = outcome.get("succeeded") {
            events.push((QUICK, ended(Ok(output.clone()))));
        } else if let Some(failed) = outcome.get("failed") {
            let text = |name| failed.get(name).map(as_text).unwrap_or_default();
            let error = error_of(&text("error"), &text("cause"));
            events.push((QUICK, ended(Err(error))));
        }
        // What timed out says nothing more: the program's own timers tell.
        events
    }
}
