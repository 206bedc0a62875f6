//! What each part of an expression gave: for the question why a result is what it is.

use std::fmt;

use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::plan::{Kind, Node};
use crate::value::{Value, number};

/// How many steps are told.
const TOLD: usize = 500;

/// How deep steps are indented.
const INDENTED: usize = 40;

/// How many characters of a value, and of a piece of the expression, are shown.
const SHOWN: usize = 80;

/// An evaluation, told step by step. Where a part is evaluated for many values, the steps within
/// it are told for the first of them.
#[derive(Clone, Debug)]
pub struct Explanation {
    result: std::result::Result<Option<Json>, Error>,
    steps: Vec<Step>,
    omitted: usize,
}

/// What one part of an expression gave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// How many parts it is nested in.
    pub depth: usize,
    /// The piece of the expression.
    pub expression: String,
    /// What it was evaluated for, in short; empty for a summary of a step of a path.
    pub input: String,
    /// What it gave, in short; of a step of a path, how many values came in and went out.
    pub outcome: String,
    /// Whether it gave no value.
    pub is_undefined: bool,
}

impl Explanation {
    pub(crate) fn new(
        result: std::result::Result<Option<Json>, Error>,
        trace: Option<Trace>,
    ) -> Self {
        let (steps, omitted) = trace.map_or((Vec::new(), 0), |trace| (trace.steps, trace.omitted));
        Self {
            result,
            steps,
            omitted,
        }
    }

    /// What the evaluation gave.
    ///
    /// # Errors
    ///
    /// That of the evaluation.
    pub fn result(&self) -> std::result::Result<Option<&Json>, &Error> {
        self.result.as_ref().map(Option::as_ref)
    }

    /// The steps, each before those nested in it.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Where no value came from: the first innermost step that gave none. `None` if the evaluation
    /// gave a value, or failed.
    #[must_use]
    pub fn cause(&self) -> Option<&Step> {
        if !matches!(self.result, Ok(None)) {
            return None;
        }
        self.steps.iter().enumerate().find_map(|(index, step)| {
            let mut inner = self.steps[index + 1..]
                .iter()
                .take_while(|s| s.depth > step.depth);
            (step.is_undefined && !inner.any(|inner| inner.is_undefined)).then_some(step)
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(
                f,
                "{:width$}{} → {}",
                "",
                step.expression,
                step.outcome,
                width = step.depth.min(INDENTED) * 2
            )?;
        }
        if self.omitted > 0 {
            writeln!(f, "… {} more steps", self.omitted)?;
        }
        if let Some(cause) = self.cause() {
            writeln!(
                f,
                "no value: {} gave none for {}",
                cause.expression, cause.input
            )?;
        }
        match &self.result {
            Ok(Some(json)) => write!(f, "= {}", shorten(&json.to_string())),
            Ok(None) => write!(f, "= undefined"),
            Err(error) => write!(f, "! {error}"),
        }
    }
}

/// Steps as they are taken.
#[derive(Debug)]
pub(crate) struct Trace {
    source: String,
    steps: Vec<Step>,
    depth: usize,
    /// Within how many values but the first of a step it is.
    muted: usize,
    omitted: usize,
}

impl Trace {
    pub(crate) fn new(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            steps: Vec::new(),
            depth: 0,
            muted: 0,
            omitted: 0,
        }
    }

    /// A part begins; its place among the steps, if it is told.
    pub(crate) fn enter(&mut self, node: &Node) -> Option<usize> {
        let index = self.add(node, String::new());
        self.depth += 1;
        index
    }

    /// A part ends.
    pub(crate) fn leave(
        &mut self,
        index: Option<usize>,
        input: &Value<'_>,
        value: &Result<Value<'_>>,
    ) {
        self.depth -= 1;
        let Some(step) = index.and_then(|index| self.steps.get_mut(index)) else {
            return;
        };
        step.input = describe(input);
        (step.outcome, step.is_undefined) = match value {
            Ok(value) => (describe(value), value.is_undefined()),
            Err(error) => (format!("! {error}"), false),
        };
    }

    /// A step of a path has made so many values of so many.
    pub(crate) fn step(&mut self, node: &Node, before: usize, after: usize) {
        if before > 1 || matches!(node.kind, Kind::Sort(_)) || !node.stages().is_empty() {
            self.add(node, format!("{after} of {before} values"));
        }
    }

    pub(crate) fn mute(&mut self) {
        self.muted += 1;
    }

    pub(crate) fn unmute(&mut self) {
        self.muted = self.muted.saturating_sub(1);
    }

    fn add(&mut self, node: &Node, outcome: String) -> Option<usize> {
        if self.muted > 0 || self.steps.len() >= TOLD {
            self.omitted += 1;
            return None;
        }
        let text = self
            .source
            .get(node.place.start..node.place.end)
            .unwrap_or_default();
        self.steps.push(Step {
            depth: self.depth,
            expression: shorten(text),
            input: String::new(),
            outcome,
            is_undefined: false,
        });
        Some(self.steps.len() - 1)
    }
}

/// A value in short.
fn describe(value: &Value<'_>) -> String {
    match value {
        Value::Undefined => "undefined".to_owned(),
        Value::Number(value) => number::to_text(*value),
        Value::Native(native) => format!("{native:?}"),
        Value::Function(_) => "a function".to_owned(),
        Value::Tuples(stream) => format!("{} bindings", stream.tuples.len()),
        Value::JsonArray(_) | Value::Array(..) => {
            let count = value.as_array().map_or(0, |items| items.len());
            match value.shown() {
                Json::Array(items) if count <= 8 => shorten(&Json::Array(items).to_string()),
                _ => format!("an array of {count}"),
            }
        }
        Value::JsonObject(_) | Value::Object(_) => match value.shown() {
            json @ Json::Object(_) if json.to_string().len() <= SHOWN => json.to_string(),
            _ => {
                let keys = value
                    .as_object()
                    .into_iter()
                    .flat_map(|object| object.iter());
                let keys: Vec<String> = keys.take(12).map(|(key, _)| key.to_string()).collect();
                shorten(&format!("an object with {}", keys.join(", ")))
            }
        },
        _ => shorten(&value.shown().to_string()),
    }
}

/// A text on one line, of bounded length.
fn shorten(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
