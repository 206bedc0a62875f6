//! The evaluation of paths, calls, expressions and templates.

use std::sync::Arc;

use faas_core::policy::SeededRandom;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::context::Context;
use super::failure::{DATA_LIMIT, INTRINSIC, PARAMETER_PATH, RUNTIME, Trouble};
use crate::asl::expression::{CompiledExpression, ExpressionError, ExpressionScope};
use crate::asl::intrinsic::{Argument, Call, Function, unescape};
use crate::asl::model::{Kind, Selection};
use crate::asl::path::{Path, PathError, Root};
use crate::asl::template::{Place, Query, Template};
use crate::asl::value::size;
use crate::program::Data;

/// How many bytes one evaluation may make, as a multiple of what a state may give.
const HEADROOM: usize = 4;
/// How many characters of data a message shows.
const SHOWN: usize = 1000;

/// What a computed place may use.
pub(super) struct Evaluator<'a> {
    pub(super) context: Context<'a>,
    /// `$`
    pub(super) input: &'a Data,
    /// What `$states` has besides the input and the context.
    pub(super) outcome: Option<(&'static str, &'a Value)>,
    pub(super) random: &'a mut SeededRandom,
    pub(super) now: Timestamp,
    budget: usize,
}

/// Why a path gives nothing.
pub(super) enum Absent {
    /// It leads nowhere, in Jayway's words.
    Missing(String),
    /// It cannot be evaluated.
    Trouble(Trouble),
}

impl From<PathError> for Absent {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Missing(text) => Self::Missing(text),
            PathError::TooManyNodes => {
                let detail = "The path visits more values than it may.";
                Self::Trouble(Trouble::runtime(detail))
            }
        }
    }
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(
        context: Context<'a>,
        input: &'a Data,
        random: &'a mut SeededRandom,
        now: Timestamp,
    ) -> Self {
        let budget = context.machine.settings.limits.data_bytes * HEADROOM;
        Self {
            context,
            input,
            outcome: None,
            random,
            now,
            budget,
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Trouble> {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.ok_or_else(|| {
            let name = &self.context.machine.state(self.context.active.state).name;
            Trouble::new(DATA_LIMIT, data_limit(name))
        })?;
        Ok(())
    }

    /// What a path leads to; a whole root is shared, not copied.
    pub(super) fn path(&mut self, path: &Path) -> Result<Data, Absent> {
        let (root, skip) = match path.root() {
            Root::Input => (self.input.clone(), 0),
            Root::Context => self.context.part(path.leading_names()),
            Root::Variable(name) => {
                let context = &self.context;
                let value = context.run.variable(context.frame, name);
                let missing = || format!("No value for the variable: ${name}");
                (value.ok_or_else(|| Absent::Missing(missing()))?, 0)
            }
        };
        if path.len() == skip {
            return Ok(root);
        }
        let nodes = self.context.machine.settings.limits.path_nodes;
        let found = path.find(skip, &root, nodes)?.into_value();
        self.spend(size(&found)).map_err(Absent::Trouble)?;
        Ok(Arc::new(found))
    }

    /// `InputPath`, `OutputPath`.
    pub(super) fn select(&mut self, selection: &Selection) -> Result<Data, Trouble> {
        match selection {
            Selection::Whole => Ok(self.input.clone()),
            Selection::Nothing => Ok(Arc::new(Value::Object(Map::new()))),
            Selection::Path(path) => self.required(path),
        }
    }

    /// What a path of a field that is a path alone leads to.
    pub(super) fn required(&mut self, path: &Path) -> Result<Data, Trouble> {
        self.path(path).map_err(|absent| match absent {
            Absent::Missing(text) => {
                Trouble::runtime(format!("Invalid path '{}' : {text}", path.text()))
            }
            Absent::Trouble(trouble) => trouble,
        })
    }

    /// What a field that gives a bound by path, or by expression, holds.
    pub(super) fn bound(&mut self, place: &Place) -> Result<Data, Trouble> {
        match &place.query {
            Query::Path(path) => self.required(path),
            _ => self.place(place),
        }
    }

    pub(super) fn place(&mut self, place: &Place) -> Result<Data, Trouble> {
        match &place.query {
            Query::Path(path) => self.path(path).map_err(|absent| match absent {
                Absent::Missing(_) => self.missing(path, &place.field),
                Absent::Trouble(trouble) => trouble,
            }),
            Query::Call(call) => self.call(call, &place.field).map(Arc::new),
            Query::Expression { text, compiled } => self
                .expression(text, &**compiled, &place.field)
                .map(Arc::new),
        }
    }

    fn missing(&self, path: &Path, field: &str) -> Trouble {
        let kind = &self.context.machine.state(self.context.active.state).kind;
        // The other types of states have nothing that could catch it.
        let error = match kind {
            Kind::Task(_) | Kind::Parallel { .. } | Kind::Map(_) => PARAMETER_PATH,
            _ => RUNTIME,
        };
        let input: String = self.input.to_string().chars().take(SHOWN).collect();
        let detail = format!(
            "The JSONPath '{}' specified for the field '{field}' could not be found in the input \
             '{input}'",
            path.text()
        );
        Trouble::new(error, detail)
    }

    fn call(&mut self, call: &Call, field: &str) -> Result<Value, Trouble> {
        let arguments = call.arguments.iter().enumerate();
        let mut values = Vec::with_capacity(call.arguments.len());
        for (index, argument) in arguments {
            values.push(match argument {
                Argument::Literal(value) => value.clone(),
                // A template keeps its escapes: `\{` is no place.
                Argument::Text(raw) if call.function == Function::Format && index == 0 => {
                    raw.clone().into()
                }
                Argument::Text(raw) => unescape(raw).into(),
                Argument::Call(inner) => self.call(inner, field)?,
                Argument::Path(path) => match self.path(path) {
                    Ok(data) => Arc::unwrap_or_clone(data),
                    Err(Absent::Missing(_)) => return Err(self.missing(path, field)),
                    Err(Absent::Trouble(trouble)) => return Err(trouble),
                },
            });
        }
        let name = call.function.name();
        let value = call.function.call(values, self.random).map_err(|fault| {
            let detail = format!("The function '{name}' had the following error: {fault}");
            Trouble::new(INTRINSIC, detail)
        })?;
        self.spend(size(&value))?;
        Ok(value)
    }

    fn expression(
        &mut self,
        text: &str,
        compiled: &dyn CompiledExpression,
        field: &str,
    ) -> Result<Value, Trouble> {
        let entropy = self.random.next_u64();
        let object = self.context_for(text);
        let mut states = vec![("input", &**self.input), ("context", &object)];
        states.extend(self.outcome);
        let context = &self.context;
        let scope = ExpressionScope {
            states: &states,
            variable: &|name| context.run.variable(context.frame, name),
            now: self.now,
            entropy,
        };
        let trouble = |what: &str| {
            let detail =
                format!("The JSONata expression '{text}' specified for the field '{field}' {what}");
            Trouble::of_field(field, detail)
        };
        let value = match compiled.evaluate(&scope) {
            Ok(Some(value)) => value,
            Ok(None) => return Err(trouble("returned nothing (undefined).")),
            Err(ExpressionError::Unsupported) => {
                return Err(trouble("returned an unsupported result type."));
            }
            Err(ExpressionError::Failed(fault)) => {
                return Err(trouble(&format!(
                    "threw an error during evaluation. {fault}"
                )));
            }
        };
        self.spend(size(&value))?;
        Ok(value)
    }

    /// The context object as far as an expression can use it: it holds the execution's input, which
    /// is not copied for each item of a Map.
    fn context_for(&self, text: &str) -> Value {
        const SMALL: [&str; 4] = [".Map", ".State", ".Task", ".StateMachine"];
        let mut uses = text.split("context").skip(1).peekable();
        if uses.peek().is_none() {
            return Value::Null;
        }
        let small = uses.all(|rest| SMALL.iter().any(|part| rest.starts_with(part)));
        self.context.whole(!small)
    }

    /// A template as data: what is one whole path is shared.
    pub(super) fn data(&mut self, template: &Template) -> Result<Data, Trouble> {
        match template {
            Template::Place(place) => self.place(place),
            other => self.template(other).map(Arc::new),
        }
    }

    pub(super) fn template(&mut self, template: &Template) -> Result<Value, Trouble> {
        match template {
            Template::Literal(value) => Ok(value.clone()),
            Template::Place(place) => self.place(place).map(Arc::unwrap_or_clone),
            Template::Object(fields) => {
                let field =
                    |(name, field): &(String, Template)| Ok((name.clone(), self.template(field)?));
                let fields = fields.iter().map(field).collect::<Result<_, _>>();
                fields.map(Value::Object)
            }
            Template::List(elements) => {
                let elements = elements.iter().map(|element| self.template(element));
                elements.collect::<Result<_, _>>().map(Value::Array)
            }
        }
    }
}

/// What AWS says of too much data.
pub(super) fn data_limit(name: &str) -> String {
    format!(
        "The state/task '{name}' returned a result with a size exceeding the maximum number of \
         bytes service limit."
    )
}
