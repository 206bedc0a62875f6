//! [`Language`]: compiles the definitions of one language.

use std::fmt;
use std::sync::Arc;

use faas_core::{Error, Name};

use super::Definition;
use crate::program::Program;

/// What is wrong with a definition, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901) into the definition.
    pub path: String,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl Fault {
    /// A fault at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            if self.path.is_empty() {
                "/"
            } else {
                &self.path
            },
            self.message
        )
    }
}

/// Every fault of a definition; the source of the `InvalidArgument` that refuses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionFaults(pub Vec<Fault>);

impl fmt::Display for DefinitionFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for DefinitionFaults {}

impl From<DefinitionFaults> for Error {
    fn from(faults: DefinitionFaults) -> Self {
        let count = faults.0.len();
        let noun = if count == 1 { "fault" } else { "faults" };
        Self::invalid("register workflow", format!("{count} {noun}: {faults}")).with_source(faults)
    }
}

/// Compiles the definitions of one language.
///
/// # Contract
/// - The same text MUST always compile to a program that behaves the same: executions outlive
///   processes.
/// - A refusal MUST name every fault that can be told at once.
/// - Time and memory MUST be bounded by the length of the text.
///
/// # Errors
/// [`DefinitionFaults`], never empty.
pub trait Language: Send + Sync + fmt::Debug + 'static {
    /// The name that definitions give.
    fn name(&self) -> Name;
    /// Validates and compiles.
    fn compile(&self, definition: &Definition) -> Result<Arc<dyn Program>, DefinitionFaults>;
}
