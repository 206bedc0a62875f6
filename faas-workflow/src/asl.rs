//! Amazon States Language (<https://states-language.net/spec.html>): a front end that compiles
//! definitions to [`Program`]s.
//!
//! ```
//! use faas_workflow::asl::StatesLanguage;
//!
//! let language = StatesLanguage::new();
//! let report = language.validate(r#"{
//!     "StartAt": "Greet",
//!     "States": { "Greet": { "Type": "Pass", "Next": "Geet" } }
//! }"#);
//! let messages: Vec<_> = report.errors().map(|fault| fault.help.as_str()).collect();
//! assert_eq!(messages[1], "did you mean \"Greet\"?");
//! ```

pub mod diagnostic;
pub mod export;
pub mod expression;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod input;
pub mod integration;
mod intrinsic;
mod model;
mod parse;
mod path;
mod references;
mod run;
pub mod settings;
mod source;
mod template;
pub mod timestamp;
mod value;

use std::sync::Arc;

use faas_core::Name;

use crate::program::{DefinitionDigest, Erased, Program};
use crate::registry::{Definition, DefinitionFaults, Fault, Language};

pub use diagnostic::{Code, Diagnostic, Report, Severity};
pub use export::{aws_event, aws_history};
pub use expression::{CompiledExpression, ExpressionError, ExpressionLanguage, ExpressionScope};
pub use input::execution_input;
pub use integration::ServiceIntegrations;
pub use model::StateMachine;
pub use settings::{Limits, MachineType, Settings};

use value::equal;

/// The name of the language.
pub const LANGUAGE: &str = "asl";

/// Compiles definitions in Amazon States Language.
#[derive(Debug, Clone, Default)]
pub struct StatesLanguage {
    settings: Settings,
    expressions: Option<Arc<dyn ExpressionLanguage>>,
}

impl StatesLanguage {
    /// With AWS's quotas, and without JSONata.
    pub fn new() -> Self {
        Self::default()
    }

    /// With other settings.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// With an evaluator of JSONata.
    #[must_use]
    pub fn with_expressions(self, expressions: Arc<dyn ExpressionLanguage>) -> Self {
        Self {
            expressions: Some(expressions),
            ..self
        }
    }

    /// All that is to be said of a definition.
    pub fn validate<'a>(&self, text: &'a str) -> Report<'a> {
        let digest = DefinitionDigest::of(text.as_bytes());
        parse::parse(text, digest, &self.settings, self.expressions.as_ref()).1
    }

    /// Validates and compiles; the type stays known.
    ///
    /// # Errors
    /// Every fault; what is still to be replaced by another tool is one, too.
    pub fn machine(&self, definition: &Definition) -> Result<StateMachine, DefinitionFaults> {
        let (text, digest) = (&definition.text, definition.digest());
        let parsed = parse::parse(text, digest, &self.settings, self.expressions.as_ref());
        match parsed {
            (Some(machine), _) => Ok(machine),
            (None, report) if !report.is_ok() => Err(report.into_faults()),
            (None, report) => {
                let unresolved = report.diagnostics.into_iter();
                let unresolved = unresolved.filter(|d| d.code == Code::Unresolved);
                Err(DefinitionFaults(unresolved.map(Fault::from).collect()))
            }
        }
    }
}

impl Language for StatesLanguage {
    fn name(&self) -> Name {
        language()
    }

    fn compile(&self, definition: &Definition) -> Result<Arc<dyn Program>, DefinitionFaults> {
        Ok(Arc::new(Erased(self.machine(definition)?)))
    }
}

/// A definition in Amazon States Language.
pub fn definition(text: impl Into<String>) -> Definition {
    Definition::new(language(), text)
}

/// The language's name, for definitions.
#[expect(clippy::expect_used, reason = "the constant is a name")]
pub fn language() -> Name {
    Name::new(LANGUAGE).expect("a name")
}

#[cfg(test)]
mod tests;
