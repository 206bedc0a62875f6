//! [`Expression`]: data composed from other data, by JSON pointer (RFC 6901).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::program::{Data, TaskError, TaskRetry, TaskToken};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Expression {
    /// This value.
    Literal(Value),
    /// A part of the workflow's input.
    Input(String),
    /// A part of a task's result; the task becomes a dependency.
    Result {
        /// Which task's.
        task: String,
        /// Which part.
        pointer: String,
    },
    /// A part of the element that a map is at.
    Item(String),
    /// The index of the element that a map is at.
    Index,
    /// The token of the task that it is the input of, as text.
    Token,
    /// A part of the error that was caught: `/kind`, `/message`, `/details`.
    Error(String),
    /// An object of these.
    Object(BTreeMap<String, Expression>),
    /// A list of these.
    List(Vec<Expression>),
    /// The fields of these objects; the later ones win.
    Merge(Vec<Expression>),
}

impl Default for Expression {
    fn default() -> Self {
        Self::Literal(Value::Null)
    }
}

impl Expression {
    /// All of the workflow's input.
    pub fn whole_input() -> Self {
        Self::Input(String::new())
    }

    /// The part of the workflow's input at `pointer`; `""` is all of it.
    pub fn input(pointer: impl Into<String>) -> Self {
        Self::Input(pointer.into())
    }

    /// The part of the result of `task` at `pointer`.
    pub fn result(task: impl Into<String>, pointer: impl Into<String>) -> Self {
        Self::Result {
            task: task.into(),
            pointer: pointer.into(),
        }
    }

    /// The part of the present element of a map at `pointer`.
    pub fn item(pointer: impl Into<String>) -> Self {
        Self::Item(pointer.into())
    }

    /// The part of the error caught at `pointer`.
    pub fn error(pointer: impl Into<String>) -> Self {
        Self::Error(pointer.into())
    }

    /// The index of the present element of a map.
    pub const fn index() -> Self {
        Self::Index
    }

    /// The token of the task that it is the input of.
    pub const fn token() -> Self {
        Self::Token
    }

    /// A value.
    pub fn literal(value: impl Into<Value>) -> Self {
        Self::Literal(value.into())
    }

    /// An object.
    pub fn object<K: Into<String>>(fields: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Object(fields.into_iter().map(|(k, v)| (k.into(), v)).collect())
    }

    /// A list.
    pub fn list(elements: impl IntoIterator<Item = Self>) -> Self {
        Self::List(elements.into_iter().collect())
    }

    /// What it is made of.
    pub(super) fn children(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match self {
            Self::Object(fields) => Box::new(fields.values()),
            Self::List(parts) | Self::Merge(parts) => Box::new(parts.iter()),
            _ => Box::new(std::iter::empty()),
        }
    }
}

/// What an expression may use.
pub(super) struct Scope<'a> {
    pub(super) input: &'a Data,
    pub(super) result: &'a dyn Fn(&str) -> Option<Data>,
    pub(super) item: Option<(usize, &'a Value)>,
    pub(super) error: Option<&'a Value>,
    pub(super) token: Option<&'a TaskToken>,
    /// How many bytes more may be made.
    pub(super) budget: usize,
}

/// About how many bytes a value is.
pub(super) fn size(value: &Value) -> usize {
    8 + match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(size).sum(),
        Value::Object(fields) => fields.iter().map(|(k, v)| k.len() + size(v)).sum(),
        _ => 0,
    }
}

pub(super) fn too_large(limit: &str) -> TaskError {
    let message = format!("the value is larger than {limit}");
    TaskError::new("Data.LimitExceeded", message).with_retry(TaskRetry::Never)
}

fn missing(what: &str, pointer: &str) -> TaskError {
    let message = format!("{what} has nothing at {pointer:?}");
    TaskError::new("Data.PathNotFound", message).with_retry(TaskRetry::Never)
}

impl Scope<'_> {
    /// The value; what is shared stays shared where a whole input or result is passed on.
    pub(super) fn data(&mut self, expression: &Expression) -> Result<Data, TaskError> {
        match expression {
            Expression::Input(pointer) if pointer.is_empty() => Ok(self.input.clone()),
            Expression::Result { task, pointer } if pointer.is_empty() => {
                (self.result)(task).ok_or_else(|| missing(task, ""))
            }
            other => self.value(other).map(Data::new),
        }
    }

    fn value(&mut self, expression: &Expression) -> Result<Value, TaskError> {
        match expression {
            Expression::Literal(value) => self.copy(Some(value), "literal", ""),
            Expression::Input(at) => self.copy(self.input.clone().pointer(at), "the input", at),
            Expression::Result { task, pointer } => {
                let result = (self.result)(task).ok_or_else(|| missing(task, pointer))?;
                self.copy(result.pointer(pointer), task, pointer)
            }
            Expression::Item(at) => self.copy(
                self.item.and_then(|(_, item)| item.pointer(at)),
                "the item",
                at,
            ),
            Expression::Index => Ok(self.item.map_or(Value::Null, |(index, _)| index.into())),
            Expression::Token => {
                let token = self.token.map(|token| token.to_string().into());
                token.ok_or_else(|| missing("the task's token", ""))
            }
            Expression::Error(at) => self.copy(
                self.error.and_then(|error| error.pointer(at)),
                "the error",
                at,
            ),
            Expression::Object(fields) => {
                let field = |(k, v): (&String, &Expression)| Ok((k.clone(), self.value(v)?));
                fields
                    .iter()
                    .map(field)
                    .collect::<Result<_, _>>()
                    .map(Value::Object)
            }
            Expression::List(parts) => {
                let parts = parts.iter().map(|part| self.value(part));
                parts.collect::<Result<_, _>>().map(Value::Array)
            }
            Expression::Merge(parts) => self.merge(parts),
        }
    }

    fn merge(&mut self, parts: &[Expression]) -> Result<Value, TaskError> {
        let mut merged = serde_json::Map::new();
        for part in parts {
            match self.value(part)? {
                Value::Object(fields) => merged.extend(fields),
                _ => {
                    let message = "only objects can be merged";
                    return Err(TaskError::new("Data.NotAnObject", message));
                }
            }
        }
        Ok(Value::Object(merged))
    }

    fn copy(&mut self, found: Option<&Value>, of: &str, at: &str) -> Result<Value, TaskError> {
        let value = found.ok_or_else(|| missing(of, at))?;
        let left = self.budget.checked_sub(size(value));
        self.budget = left.ok_or_else(|| too_large("the limit of data"))?;
        Ok(value.clone())
    }
}
