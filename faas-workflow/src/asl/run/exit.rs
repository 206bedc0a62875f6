//! Leaving states: what a state gives, which variables it sets, and where an execution goes next.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Turn;
use super::evaluate;
use super::failure::{DATA_LIMIT, RESULT_PATH, Trouble};
use super::frame::{Active, Frame, Position};
use super::turn::After;
use crate::asl::expression::QueryLanguage;
use crate::asl::model::{Kind, Next, ResultPath, State};
use crate::asl::path::ReferenceStep;
use crate::asl::template::Template;
use crate::asl::value::size;
use crate::program::Data;

/// How a state is left.
pub(super) struct Exit<'e> {
    pub(super) assign: Option<&'e Template>,
    /// `Output`, of JSONata.
    pub(super) output: Option<&'e Template>,
    pub(super) next: Next,
}

impl Turn<'_> {
    /// Leaves a state that gave `result`, as its definition has it.
    pub(super) fn exit(
        &mut self,
        frame: &mut Frame,
        active: &mut Active,
        state: &State,
        result: Data,
    ) -> Result<After, Trouble> {
        let exit = Exit {
            assign: state.flow.assign.as_ref(),
            output: state.flow.output.as_ref(),
            next: state.next,
        };
        self.exit_by(frame, active, state, result, &exit)
    }

    pub(super) fn exit_by(
        &mut self,
        frame: &mut Frame,
        active: &mut Active,
        state: &State,
        result: Data,
        exit: &Exit<'_>,
    ) -> Result<After, Trouble> {
        let (output, assigned) = match state.query {
            QueryLanguage::JsonPath => self.flow_out(frame, active, state, result, exit)?,
            QueryLanguage::Jsonata => {
                let has_result = matches!(
                    state.kind,
                    Kind::Task(_) | Kind::Parallel { .. } | Kind::Map(_)
                );
                let outcome = has_result.then_some(("result", &result));
                self.express(frame, active, outcome, &result, exit)?
            }
        };
        self.leave(frame, state, output, assigned, exit.next)
    }

    /// `ResultSelector`, `Assign`, `ResultPath`, `OutputPath`.
    fn flow_out(
        &mut self,
        frame: &Frame,
        active: &Active,
        state: &State,
        result: Data,
        exit: &Exit<'_>,
    ) -> Result<(Data, Map<String, Value>), Trouble> {
        let flow = &state.flow;
        let result = match &flow.result_selector {
            Some(selector) => self.evaluator(frame, active, &result).data(selector)?,
            None => result,
        };
        let assigned = self.assigned(frame, active, &result, exit.assign)?;
        let whole = place(&flow.result_path, &active.input, result)?;
        let output = self
            .evaluator(frame, active, &whole)
            .select(&flow.output_path)?;
        Ok((output, assigned))
    }

    pub(super) fn assigned(
        &mut self,
        frame: &Frame,
        active: &Active,
        input: &Data,
        assign: Option<&Template>,
    ) -> Result<Map<String, Value>, Trouble> {
        let Some(template) = assign else {
            return Ok(Map::new());
        };
        match self.evaluator(frame, active, input).template(template)? {
            Value::Object(assigned) => Ok(assigned),
            _ => Ok(Map::new()),
        }
    }

    /// `Assign`, `Output`; without `Output` the state gives `default`.
    pub(super) fn express(
        &mut self,
        frame: &Frame,
        active: &Active,
        outcome: Option<(&'static str, &Data)>,
        default: &Data,
        exit: &Exit<'_>,
    ) -> Result<(Data, Map<String, Value>), Trouble> {
        let input = active.input.clone();
        let mut evaluator = self.evaluator(frame, active, &input);
        evaluator.outcome = outcome.map(|(name, value)| (name, &**value));
        let output = match exit.output {
            Some(template) => evaluator.data(template)?,
            None => default.clone(),
        };
        let assigned = match exit.assign.map(|assign| evaluator.template(assign)) {
            Some(assigned) => match assigned? {
                Value::Object(assigned) => assigned,
                _ => Map::new(),
            },
            None => Map::new(),
        };
        Ok((output, assigned))
    }

    /// Sets the variables and goes on.
    pub(super) fn leave(
        &mut self,
        frame: &mut Frame,
        state: &State,
        output: Data,
        assigned: Map<String, Value>,
        next: Next,
    ) -> Result<After, Trouble> {
        self.check_size(&output, &state.name)?;
        self.check_variables(frame, state, &assigned)?;
        self.record_exited(frame, state.kind.name(), &state.name, &output, &assigned);
        let assigned = assigned.into_iter().map(|(k, v)| (k, Arc::new(v)));
        frame.variables.extend(assigned);
        Ok(match next {
            Next::End => After::Done(output),
            Next::To(next) => {
                frame.position = Position::Before(next, output);
                After::Again
            }
        })
    }

    fn check_variables(
        &self,
        frame: &Frame,
        state: &State,
        assigned: &Map<String, Value>,
    ) -> Result<(), Trouble> {
        if assigned.is_empty() {
            return Ok(());
        }
        for (name, value) in assigned {
            self.check_size(value, &format!("{}/Assign/{name}", state.name))?;
        }
        let kept = frame
            .variables
            .iter()
            .filter(|(name, _)| !assigned.contains_key(*name));
        let kept: usize = kept.map(|(_, value)| size(value)).sum();
        let set: usize = assigned.values().map(size).sum();
        if kept + set > self.machine.settings.limits.variables_bytes {
            return Err(Trouble::new(DATA_LIMIT, evaluate::data_limit(&state.name)));
        }
        Ok(())
    }
}

/// `ResultPath`.
pub(super) fn place(path: &ResultPath, input: &Data, result: Data) -> Result<Data, Trouble> {
    match path {
        ResultPath::Whole => Ok(result),
        ResultPath::Discard => Ok(input.clone()),
        ResultPath::Place { text, reference } => {
            let (input, result) = (Value::clone(input), Arc::unwrap_or_clone(result));
            reference.put(input, result).map(Arc::new).map_err(|step| {
                let step = match step {
                    ReferenceStep::Name(name) => format!("{name:?}"),
                    ReferenceStep::Index(index) => index.to_string(),
                };
                let detail = format!(
                    "Unable to apply step {step} of the reference path {text} to the input."
                );
                Trouble::new(RESULT_PATH, detail)
            })
        }
    }
}
