//! States that fail: what is recorded of it, what is tried again, what is caught.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;

use super::exit::{Exit, place};
use super::failure::{DATA_LIMIT, Failure, QUERY, Trouble};
use super::frame::{Active, Frame, Job, Position};
use super::turn::After;
use super::{Alarm, Turn};
use crate::asl::expression::QueryLanguage;
use crate::asl::model::{Catcher, Jitter, Kind, Next, Retrier, State};
use crate::asl::settings::MAX_SECONDS;

/// What of a state failed.
pub(super) enum Broken {
    /// What it does itself.
    Itself,
    /// Its branches or iterations, with what there is of them.
    Children(Option<Job>),
}

impl Turn<'_> {
    /// A state cannot do what its definition says.
    pub(super) fn own_failed(
        &mut self,
        frame: &mut Frame,
        active: Box<Active>,
        trouble: Trouble,
        broken: Broken,
    ) -> After {
        let failure = self.own_failure(frame, &active, trouble);
        self.state_failed(frame, active, failure, broken)
    }

    /// What a state cannot do is told with its name; that an expression failed is recorded.
    fn own_failure(&mut self, frame: &mut Frame, active: &Active, trouble: Trouble) -> Failure {
        if trouble.error == DATA_LIMIT {
            return Failure::new(trouble.error, trouble.detail);
        }
        let name = &self.machine.state(active.state).name;
        let (event, detail) = (active.entered_event, trouble.detail);
        let cause = format!(
            "An error occurred while executing the state '{name}' (entered at the event id \
             #{event}). {detail}"
        );
        let failure = Failure::new(trouble.error, cause);
        if trouble.error == QUERY {
            let mut failed = failure.details();
            failed.insert("state".into(), (&**name).into());
            if let Some(field) = trouble.field {
                failed.insert("location".into(), field.into());
            }
            // What a state does on entering follows what its entering follows.
            let entering = frame.last == event && !trouble.late;
            let previous = if entering { active.before } else { frame.last };
            frame.last = self.record_after(frame.stream, previous, "EvaluationFailed", failed);
        }
        failure
    }

    /// A state failed: it is tried again, or its error is caught, or the frame fails, and stays as it
    /// is in case that the execution is redriven.
    pub(super) fn state_failed(
        &mut self,
        frame: &mut Frame,
        mut active: Box<Active>,
        failure: Failure,
        broken: Broken,
    ) -> After {
        let state = self.machine.state(active.state);
        let matches = |errors: &[String]| errors.iter().any(|name| failure.matches(name));
        let retrier = state
            .retry
            .iter()
            .position(|retrier| matches(&retrier.errors));
        if let Some(index) = retrier
            && active
                .retries
                .get(index)
                .is_some_and(|done| *done < state.retry[index].attempts)
        {
            let delay = self.retry_delay(&state.retry[index], active.retries[index]);
            self.drop_children(broken);
            active.retries[index] += 1;
            active.retry_count += 1;
            let timer = self.set_timer(delay, Alarm::Delay(frame.id));
            active.job = Job::Delay { timer, retry: true };
            frame.position = Position::In(active);
            return After::Blocked;
        }
        let caught = state.catch.iter().find(|catcher| matches(&catcher.errors));
        // A Parallel state whose error is caught has not failed, as AWS writes histories.
        let is_recorded = caught.is_none() || !matches!(state.kind, Kind::Parallel { .. });
        if is_recorded && !matches!(broken, Broken::Itself) {
            let kind = state.kind.name();
            self.record(frame, &format!("{kind}StateFailed"), Map::new());
        }
        let failure = match caught {
            None => failure,
            Some(catcher) => match self.catch(frame, &active, state, catcher, &failure) {
                Ok(after) => {
                    self.drop_children(broken);
                    return after;
                }
                Err(trouble) => self.own_failure(frame, &active, trouble),
            },
        };
        if let Broken::Children(Some(job)) = broken {
            active.job = job;
        }
        frame.position = Position::In(active);
        After::Failed(failure)
    }

    fn drop_children(&mut self, broken: Broken) {
        if let Broken::Children(Some(job)) = broken {
            let mut open = Vec::new();
            self.cancel_job(job, &mut open);
            self.cancel(open);
        }
    }

    fn retry_delay(&mut self, retrier: &Retrier, done: u32) -> Duration {
        let most = retrier.max_delay.unwrap_or(MAX_SECONDS).min(MAX_SECONDS) as f64;
        let exponent = i32::try_from(done).unwrap_or(i32::MAX);
        let seconds = retrier.interval as f64 * retrier.backoff.powi(exponent);
        let delay = Duration::from_secs_f64(seconds.clamp(0.0, most));
        match retrier.jitter {
            Jitter::None => delay,
            Jitter::Full => {
                let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX - 1);
                Duration::from_millis(self.random.next_u64() % (millis + 1))
            }
        }
    }

    fn catch(
        &mut self,
        frame: &mut Frame,
        active: &Active,
        state: &State,
        catcher: &Catcher,
        failure: &Failure,
    ) -> Result<After, Trouble> {
        let error = Arc::new(failure.output());
        let exit = Exit {
            assign: catcher.assign.as_ref(),
            output: catcher.output.as_ref(),
            next: Next::To(catcher.next),
        };
        let (output, assigned) = match state.query {
            QueryLanguage::JsonPath => {
                let assigned = self.assigned(frame, active, &error, exit.assign)?;
                (place(&catcher.result_path, &active.input, error)?, assigned)
            }
            QueryLanguage::Jsonata => {
                let outcome = Some(("errorOutput", &error));
                self.express(frame, active, outcome, &error, &exit)?
            }
        };
        self.leave(frame, state, output, assigned, exit.next)
    }
}
