//! [`ExpressionLanguage`]: evaluates the expressions of states whose query language is JSONata.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

/// Compiles the expressions between `{%` and `%}`.
///
/// # Contract
/// - Equal texts MUST compile to expressions that evaluate alike: executions outlive processes.
/// - Time and memory of `compile` MUST be bounded by the length of the text.
///
/// # Errors
/// What is wrong with the text, in a sentence.
pub trait ExpressionLanguage: Send + Sync + fmt::Debug + 'static {
    /// Compiles one expression; `text` is without `{%` and `%}`.
    fn compile(&self, text: &str) -> Result<Arc<dyn CompiledExpression>, String>;
}

/// A compiled expression.
///
/// # Contract
/// - Equal scopes MUST give equal values: time and randomness come with the scope.
/// - An evaluation MUST end, and hold a bounded amount of memory, whatever the expression.
///
/// # Errors
/// What went wrong, in a sentence.
pub trait CompiledExpression: Send + Sync + fmt::Debug + 'static {
    /// Its value; `None` if it is undefined.
    fn evaluate(&self, scope: &ExpressionScope<'_>) -> Result<Option<Value>, ExpressionError>;
    /// The names of the variables that it reads and does not bind itself, without `$`.
    fn variables(&self) -> Vec<String>;
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpressionError {
    /// Its evaluation fails, for this reason.
    Failed(String),
    /// Its value has no form in JSON: it is a function, say.
    Unsupported,
}

/// What an expression may use.
pub struct ExpressionScope<'a> {
    /// The fields of `$states`: the state's input, the context object, the result or the error.
    pub states: &'a [(&'a str, &'a Value)],
    /// Any other variable of the workflow.
    pub variable: &'a dyn Fn(&str) -> Option<Arc<Value>>,
    /// The time.
    pub now: Timestamp,
    /// SeededRandom bits for this evaluation.
    pub entropy: u64,
}

impl fmt::Debug for ExpressionScope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpressionScope")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// In which language a state says what it takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum QueryLanguage {
    #[default]
    JsonPath,
    Jsonata,
}

/// What stands between `{%` and `%}`, if `text` is an expression.
pub(super) fn delimited(text: &str) -> Option<&str> {
    text.strip_prefix("{%")?.strip_suffix("%}")
}
