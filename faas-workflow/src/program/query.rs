//! Questions to a running program.

use std::sync::Arc;

use faas_core::{Name, Result};
use serde_json::Value;

use super::{Data, ProgramState};

/// A question to an execution.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Query {
    /// Which question.
    pub name: Name,
    /// What it is about.
    pub data: Data,
}

impl Query {
    /// A question.
    pub fn new(name: Name, data: Value) -> Self {
        Self {
            name,
            data: Arc::new(data),
        }
    }
}

/// A program that answers questions about a state; reached through
/// [`Program::queries`](super::Program::queries).
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait ProgramQueries: Send + Sync + 'static {
    /// Answers from the state alone.
    ///
    /// # Errors
    /// `InvalidArgument` for a question that it does not understand; `Internal` for the state of
    /// another program.
    fn answer(&self, state: &ProgramState, query: &Query) -> Result<Data>;
}
