//! Paths as the language has them: JSONPath in Jayway's dialect, which AWS evaluates them in.
//!
//! It differs from RFC 9535: a path that can name one value only is *definite* and gives that value
//! or nothing; any other gives a list, which is empty when nothing is there.

mod evaluate;
mod filter;
mod function;
mod parse;
mod reference;

use std::fmt;

use filter::Filter;
use function::Function;

#[cfg(test)]
pub(super) use evaluate::Found;
pub(super) use evaluate::PathError;
pub(super) use reference::{Reference, ReferenceStep};

/// What a path begins at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Root {
    /// `$`
    Input,
    /// `$$`
    Context,
    /// `$name`
    Variable(String),
}

#[derive(Debug, Clone)]
enum Step {
    Name(String),
    Index(i64),
    Names(Vec<String>),
    Indices(Vec<i64>),
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        step: i64,
    },
    Wildcard,
    /// The step that follows applies to a value and to all that is in it.
    Descend,
    Filter(Box<Filter>),
    Function(Function),
}

/// A compiled path.
#[derive(Debug, Clone)]
pub(super) struct Path {
    text: String,
    root: Root,
    steps: Vec<Step>,
}

/// What is wrong with the text of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathFault(pub(super) String);

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Path {
    /// The path that is all of `text`.
    pub(super) fn parse(text: &str) -> Result<Self, PathFault> {
        match Self::parse_prefix(text)? {
            (path, "") => Ok(path),
            (_, rest) => {
                let first = rest.chars().next().unwrap_or_default();
                Err(PathFault(format!("{first:?} cannot stand there")))
            }
        }
    }

    /// The path that `text` begins with, and the rest.
    pub(super) fn parse_prefix(text: &str) -> Result<(Self, &str), PathFault> {
        parse::path(text)
    }

    /// As its author wrote it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What it begins at.
    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// How many steps it has.
    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it names all of its root.
    pub(super) fn is_whole(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether it can name one value only.
    pub(super) fn is_definite(&self) -> bool {
        let last = self.steps.len().saturating_sub(1);
        let definite = |(index, step): (usize, &Step)| match step {
            Step::Name(_) | Step::Index(_) | Step::Function(_) => true,
            Step::Names(_) => index == last,
            _ => false,
        };
        self.steps.iter().enumerate().all(definite)
    }

    /// The names that it begins with, for roots that are made on demand.
    pub(super) fn leading_names(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map_while(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The names of the variables that it reads.
    pub(super) fn variable(&self) -> Option<&str> {
        match &self.root {
            Root::Variable(name) => Some(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
