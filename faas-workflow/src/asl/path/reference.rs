//! Reference paths: those that name one place, so that a value can be put there.

use serde_json::{Map, Value};

use super::{Path, PathFault, Root, Step};

/// A place within a state's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference(Vec<ReferenceStep>);

/// One step to a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReferenceStep {
    /// A field.
    Name(String),
    /// An element.
    Index(usize),
}

impl Path {
    /// The path as a place.
    pub(crate) fn reference(&self) -> Result<Reference, PathFault> {
        if self.root != Root::Input {
            return Err(PathFault("a reference path begins with \"$\" alone".into()));
        }
        let step = |step: &Step| match step {
            Step::Name(name) => Some(ReferenceStep::Name(name.clone())),
            Step::Index(index) => usize::try_from(*index).ok().map(ReferenceStep::Index),
            _ => None,
        };
        let steps: Option<Vec<_>> = self.steps.iter().map(step).collect();
        let message = "a reference path has names and indices from 0 on only";
        steps
            .map(Reference)
            .ok_or_else(|| PathFault(message.into()))
    }
}

impl Reference {
    /// Puts `value` at the place within `input`; objects on the way are made where there are none.
    ///
    /// # Errors
    /// What the step that cannot be taken is.
    pub(crate) fn put(&self, input: Value, value: Value) -> Result<Value, ReferenceStep> {
        let mut whole = input;
        let mut place = &mut whole;
        for step in &self.0 {
            place = match (step, place) {
                (ReferenceStep::Name(name), Value::Object(fields)) => {
                    let empty = || Value::Object(Map::new());
                    fields.entry(name.as_str()).or_insert_with(empty)
                }
                (ReferenceStep::Index(index), Value::Array(elements)) => {
                    elements.get_mut(*index).ok_or_else(|| step.clone())?
                }
                _ => return Err(step.clone()),
            };
        }
        *place = value;
        Ok(whole)
    }
}
