//! The evaluation of paths.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{Path, Step};

/// What a path leads to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found<'v> {
    /// The value that a definite path names.
    One(Cow<'v, Value>),
    /// The values that another path names.
    Many(Vec<Cow<'v, Value>>),
}

impl Found<'_> {
    /// As one value: several are a list.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::One(value) => value.into_owned(),
            Self::Many(values) => values.into_iter().map(Cow::into_owned).collect(),
        }
    }
}

/// Why a path gives no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathError {
    /// A definite path names nothing; says so in Jayway's words.
    Missing(String),
    /// It would visit more nodes than it may.
    TooManyNodes,
}

/// One evaluation.
pub(super) struct Walk<'v> {
    pub(super) root: &'v Value,
    /// How many nodes more may be visited.
    budget: usize,
}

impl Path {
    /// What the path leads to from `root`, which stands for what its root and its first `skip`
    /// steps lead to; at most `nodes` nodes are visited.
    pub(crate) fn find<'v>(
        &'v self,
        skip: usize,
        root: &'v Value,
        nodes: usize,
    ) -> Result<Found<'v>, PathError> {
        let mut walk = Walk {
            root,
            budget: nodes,
        };
        let steps = self.steps.get(skip..).unwrap_or_default();
        let mut found = walk.steps(steps, root)?;
        if !self.is_definite() {
            return Ok(Found::Many(found));
        }
        let missing = || PathError::Missing(format!("No results for path: {}", self.canonical()));
        found.pop().map(Found::One).ok_or_else(missing)
    }

    /// In brackets, as Jayway shows paths.
    fn canonical(&self) -> String {
        let mut text = String::from("$");
        for step in &self.steps {
            // Writing to a string does not fail.
            let _ = match step {
                Step::Name(name) => write!(text, "['{name}']"),
                Step::Index(index) => write!(text, "[{index}]"),
                Step::Names(names) => write!(text, "['{}']", names.join("','")),
                Step::Function(function) => write!(text, ".{function:?}()"),
                _ => write!(text, "[…]"),
            };
        }
        text
    }
}

impl<'v> Walk<'v> {
    pub(super) fn steps(
        &mut self,
        steps: &'v [Step],
        from: &'v Value,
    ) -> Result<Vec<Cow<'v, Value>>, PathError> {
        let mut nodes: Vec<&'v Value> = vec![from];
        for (index, step) in steps.iter().enumerate() {
            match step {
                Step::Descend => nodes = self.descend(nodes)?,
                Step::Names(names) if index + 1 == steps.len() => {
                    return self.merge(names, nodes);
                }
                Step::Function(function) => {
                    let definite = steps[..index]
                        .iter()
                        .all(|s| matches!(s, Step::Name(_) | Step::Index(_)));
                    let values = match definite {
                        true => nodes.first().and_then(|node| function.of(node)),
                        false => function.of(&nodes.into_iter().cloned().collect()),
                    };
                    return Ok(values.map(Cow::Owned).into_iter().collect());
                }
                other => nodes = self.step(other, nodes)?,
            }
        }
        Ok(nodes.into_iter().map(Cow::Borrowed).collect())
    }

    fn visit(&mut self, nodes: usize) -> Result<(), PathError> {
        self.budget = self
            .budget
            .checked_sub(nodes)
            .ok_or(PathError::TooManyNodes)?;
        Ok(())
    }

    fn step(&mut self, step: &'v Step, nodes: Vec<&'v Value>) -> Result<Vec<&'v Value>, PathError> {
        let mut found = Vec::new();
        for node in nodes {
            self.visit(1)?;
            match (step, node) {
                (Step::Name(name), Value::Object(fields)) => found.extend(fields.get(name)),
                (Step::Names(names), Value::Object(fields)) => {
                    found.extend(names.iter().filter_map(|name| fields.get(name)));
                }
                (Step::Index(index), Value::Array(elements)) => {
                    found.extend(element(elements, *index));
                }
                (Step::Indices(indices), Value::Array(elements)) => {
                    self.visit(indices.len())?;
                    found.extend(indices.iter().filter_map(|index| element(elements, *index)));
                }
                (Step::Slice { from, to, step }, Value::Array(elements)) => {
                    let slice = slice(elements, *from, *to);
                    self.visit(slice.len())?;
                    found.extend(slice.iter().step_by(usize::try_from(*step).unwrap_or(1)));
                }
                (Step::Wildcard, container) => {
                    let before = found.len();
                    found.extend(children(container));
                    self.visit(found.len() - before)?;
                }
                (Step::Filter(filter), Value::Array(elements)) => {
                    for element in elements {
                        self.visit(1)?;
                        if filter.passes(element, self)? {
                            found.push(element);
                        }
                    }
                }
                // Jayway filters an object as if it were the only element of a list.
                (Step::Filter(filter), Value::Object(_)) if filter.passes(node, self)? => {
                    found.push(node);
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// The nodes and all that is in them, parents first.
    fn descend(&mut self, nodes: Vec<&'v Value>) -> Result<Vec<&'v Value>, PathError> {
        let mut open: Vec<&'v Value> = nodes;
        open.reverse();
        let mut found = Vec::new();
        while let Some(node) = open.pop() {
            self.visit(1)?;
            found.push(node);
            let before = open.len();
            open.extend(children(node));
            open[before..].reverse();
        }
        Ok(found)
    }

    /// Several names at the end of a path give one object of these fields.
    fn merge(
        &mut self,
        names: &[String],
        nodes: Vec<&'v Value>,
    ) -> Result<Vec<Cow<'v, Value>>, PathError> {
        self.visit(names.len() * nodes.len())?;
        let merged = nodes.into_iter().filter_map(|node| {
            let fields = node.as_object()?;
            let field = |name: &String| Some((name.clone(), fields.get(name)?.clone()));
            let fields: Map<_, _> = names.iter().filter_map(field).collect();
            Some(Cow::Owned(Value::Object(fields)))
        });
        Ok(merged.collect())
    }
}

fn children(node: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match node {
        Value::Array(elements) => Box::new(elements.iter()),
        Value::Object(fields) => Box::new(fields.values()),
        _ => Box::new(std::iter::empty()),
    }
}

/// An element, counted from the end if `index` is negative.
fn element(elements: &[Value], index: i64) -> Option<&Value> {
    let index = match usize::try_from(index) {
        Ok(index) => index,
        Err(_) => elements
            .len()
            .checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
    };
    elements.get(index)
}

fn slice(elements: &[Value], from: Option<i64>, to: Option<i64>) -> &[Value] {
    let bound = |index: i64| match usize::try_from(index) {
        Ok(index) => index.min(elements.len()),
        Err(_) => {
            let back = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
            elements.len().saturating_sub(back)
        }
    };
    let (from, to) = (from.map_or(0, bound), to.map_or(elements.len(), bound));
    elements.get(from..to).unwrap_or_default()
}
