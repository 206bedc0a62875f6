//! Entering states, and trying those that do nothing outside.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::evaluate::Absent;
use super::failure::{Failure, QUERY, Trouble};
use super::frame::{Active, Frame, FrameId, Job, Position};
use super::recovery::Broken;
use super::turn::After;
use super::{Alarm, Turn};
use crate::asl::model::{Amount, Kind, State, Text, Wait};
use crate::asl::settings::{MAX_SECONDS, seconds};
use crate::asl::template::{Place, Query};
use crate::asl::timestamp;
use crate::asl::value;
use crate::program::{Data, TimerNumber};

impl Turn<'_> {
    /// Enters the state that a frame is before, or tries that it is in.
    pub(super) fn go(&mut self, frame: &mut Frame) -> After {
        let machine = self.machine;
        let nothing = Position::Before(machine.start, Data::default());
        let mut active = match std::mem::replace(&mut frame.position, nothing) {
            Position::In(active) => active,
            Position::Before(index, input) => {
                let state = machine.state(index);
                frame.steps += 1;
                let before = frame.last;
                let entered = self.record_entered(frame, state.kind.name(), &state.name, &input);
                Box::new(Active {
                    state: index,
                    input,
                    entered: self.at,
                    entered_event: entered,
                    before,
                    retries: vec![0; state.retry.len()],
                    retry_count: 0,
                    call: 0,
                    job: Job::Attempt,
                })
            }
        };
        active.job = Job::Attempt;
        let state = machine.state(active.state);
        match self.attempt(frame, &mut active, state) {
            Ok(after) => self.keep(frame, active, after),
            Err(trouble) => {
                // A Map that cannot begin has failed nevertheless, if that may be caught.
                let broken = match &state.kind {
                    Kind::Map(_) | Kind::Parallel { .. } if trouble.error == QUERY => {
                        Broken::Children(None)
                    }
                    _ => Broken::Itself,
                };
                self.own_failed(frame, active, trouble, broken)
            }
        }
    }

    /// Leaves a frame in its state if it waits there.
    pub(super) fn keep(&mut self, frame: &mut Frame, active: Box<Active>, after: After) -> After {
        match after {
            After::Blocked => frame.position = Position::In(active),
            After::NoItems => return self.nothing_to_do(frame, active),
            After::Failed(_) => frame.position = Position::In(active),
            _ => {}
        }
        after
    }

    fn attempt(
        &mut self,
        frame: &mut Frame,
        active: &mut Active,
        state: &State,
    ) -> Result<After, Trouble> {
        let input = active.input.clone();
        let input = self
            .evaluator(frame, active, &input)
            .select(&state.flow.input_path)?;
        match &state.kind {
            Kind::Pass { result } => {
                let result = match (result, &state.flow.arguments) {
                    (Some(result), _) => Arc::new(result.clone()),
                    (None, Some(template)) => {
                        self.evaluator(frame, active, &input).data(template)?
                    }
                    (None, None) => input,
                };
                self.exit(frame, active, state, result)
            }
            Kind::Succeed => self.exit(frame, active, state, input),
            Kind::Choice { rules, default } => {
                self.choose(frame, active, state, rules, *default, &input)
            }
            Kind::Fail { error, cause } => {
                let error = self.fail_text(frame, active, &input, error.as_ref())?;
                let cause = self.fail_text(frame, active, &input, cause.as_ref())?;
                Ok(After::Failed(Failure {
                    error,
                    cause,
                    heartbeat: false,
                }))
            }
            Kind::Wait(wait) => self.wait(frame, active, &input, wait),
            Kind::Task(task) => self.start_task(frame, active, state, task, input),
            Kind::Parallel { branches } => {
                self.start_branches(frame, active, state, branches, input)
            }
            Kind::Map(map) => self.start_map(frame, active, state, map, input),
        }
    }

    fn fail_text(
        &mut self,
        frame: &Frame,
        active: &Active,
        input: &Data,
        text: Option<&Text>,
    ) -> Result<Option<String>, Trouble> {
        let place = match text {
            None => return Ok(None),
            Some(Text::Literal(text)) => return Ok(Some(text.clone())),
            Some(Text::Computed(place)) => place,
        };
        let value = self.evaluator(frame, active, input).place(place)?;
        match &*value {
            Value::String(text) => Ok(Some(text.clone())),
            other => {
                let (field, kind) = (&place.field, type_name(other));
                Err(match &place.query {
                    Query::Expression { .. } => unexpected(place, "string", other),
                    _ => Trouble::runtime(format!(
                        "The value of the field '{field}' must be a string, but was: {kind}"
                    )),
                })
            }
        }
    }

    fn wait(
        &mut self,
        frame: &mut Frame,
        active: &mut Active,
        input: &Data,
        wait: &Wait,
    ) -> Result<After, Trouble> {
        let id = frame.id;
        let timer = match wait {
            Wait::Seconds(Amount::Literal(count)) => {
                self.set_timer(seconds(*count), Alarm::Delay(id))
            }
            Wait::Seconds(Amount::Computed(place)) => {
                let count = self.wait_seconds(frame, active, input, place)?;
                self.set_timer(seconds(count), Alarm::Delay(id))
            }
            Wait::Until(Text::Literal(text)) => self.wait_until(timestamp::parse(text), id),
            Wait::Until(Text::Computed(place)) => {
                let value = self.wait_value(frame, active, input, place)?;
                let text = value.as_str().map_or_else(|| value.to_string(), Into::into);
                let Some(moment) = timestamp::parse(&text) else {
                    return Err(bad_moment(place, &text));
                };
                self.wait_until(Some(moment), id)
            }
        };
        active.job = Job::Delay {
            timer,
            retry: false,
        };
        Ok(After::Blocked)
    }

    fn wait_until(&mut self, moment: Option<Timestamp>, frame: FrameId) -> TimerNumber {
        let at = moment.unwrap_or(self.at).max(self.at);
        self.set_timer_at(at, Alarm::Delay(frame))
    }

    fn wait_value(
        &mut self,
        frame: &Frame,
        active: &Active,
        input: &Data,
        place: &Place,
    ) -> Result<Data, Trouble> {
        let mut evaluator = self.evaluator(frame, active, input);
        let Query::Path(path) = &place.query else {
            return evaluator.place(place);
        };
        evaluator.path(path).map_err(|absent| match absent {
            Absent::Missing(_) => {
                let (field, path) = (&place.field, path.text());
                Trouble::runtime(format!(
                    "The {field} parameter does not reference an input value: {path}"
                ))
            }
            Absent::Trouble(trouble) => trouble,
        })
    }

    fn wait_seconds(
        &mut self,
        frame: &Frame,
        active: &Active,
        input: &Data,
        place: &Place,
    ) -> Result<u64, Trouble> {
        let value = self.wait_value(frame, active, input, place)?;
        let whole = value.as_i64().or_else(|| {
            value
                .as_f64()
                .filter(|n| n.fract() == 0.0)
                .and_then(|_| value::round(&value))
        });
        if let Query::Expression { .. } = &place.query {
            let whole = whole.ok_or_else(|| unexpected(place, "number", &value))?;
            let bad = || {
                let detail = format!("The Seconds field is out of range: {whole}");
                Trouble::of_field(&place.field, detail).late()
            };
            return u64::try_from(whole)
                .ok()
                .filter(|n| *n <= MAX_SECONDS)
                .ok_or_else(bad);
        }
        let (field, path) = (&place.field, place.text());
        let whole = whole.ok_or_else(|| {
            Trouble::runtime(format!(
                "The {field} parameter cannot be parsed as a long value: {path} == {value}"
            ))
        })?;
        u64::try_from(whole).map_err(|_| {
            Trouble::runtime(format!(
                "The {field} parameter references a negative value: {path} == {value}"
            ))
        })
    }

    /// A Wait state, or the delay before a retry, is over.
    pub(super) fn delay_over(&mut self, id: FrameId, timer: TimerNumber) {
        let Some(mut frame) = self.run.frames.remove(&id) else {
            return;
        };
        let waited = frame.active().map(|active| &active.job);
        let Some(Job::Delay { timer: own, retry }) = waited else {
            drop(self.run.frames.insert(id, frame));
            return;
        };
        if *own != timer || *retry {
            let again = *own == timer;
            self.settle(frame, if again { After::Again } else { After::Blocked });
            return;
        }
        let after = self.wait_over(&mut frame);
        self.settle(frame, after);
    }

    fn wait_over(&mut self, frame: &mut Frame) -> After {
        let nothing = Position::Before(self.machine.start, Data::default());
        let Position::In(mut active) = std::mem::replace(&mut frame.position, nothing) else {
            return After::Blocked;
        };
        let state = self.machine.state(active.state);
        let input = active.input.clone();
        let input = self
            .evaluator(frame, &active, &input)
            .select(&state.flow.input_path);
        let exited = input.and_then(|input| self.exit(frame, &mut active, state, input));
        match exited {
            Ok(after) => self.keep(frame, active, after),
            Err(trouble) => self.own_failed(frame, active, trouble, Broken::Itself),
        }
    }
}

fn bad_moment(place: &Place, text: &str) -> Trouble {
    match &place.query {
        Query::Expression { .. } => Trouble::of_field(
            &place.field,
            format!(
                "The Timestamp field cannot be parsed as an ISO-8601 extended offset date-time \
                 format string: {text}"
            ),
        )
        .late(),
        _ => Trouble::runtime(format!(
            "The {} parameter does not reference a valid ISO-8601 extended offset date-time format \
             string: {} == {text}",
            place.field,
            place.text()
        )),
    }
}

/// An expression gave a value of another type.
pub(super) fn unexpected(place: &Place, wanted: &str, value: &Value) -> Trouble {
    let (text, field, found) = (place.text(), &place.field, type_name(value));
    let detail = format!(
        "The JSONata expression '{text}' specified for the field '{field}' returned an unexpected \
         result type. Expected '{wanted}', but was '{found}' for value: {value}"
    );
    Trouble::of_field(field, detail)
}

/// What AWS calls the type of a value.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
