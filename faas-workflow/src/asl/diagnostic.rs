//! [`Diagnostic`]: what is wrong with a definition, where, and what to do.

use std::fmt;

use super::source::{Position, Source};
use crate::registry::{DefinitionFaults, Fault};

/// Whether a definition can be used in spite of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// It can, but likely does not do what its author thinks.
    Warning,
    /// It cannot.
    Error,
}

/// What kind of fault it is; the texts are those of AWS's `ValidateStateMachineDefinition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Code {
    /// The text is no JSON.
    InvalidJson,
    /// A field is missing, unknown, or has a value that it may not have.
    Schema,
    /// A transition leads nowhere, or nothing leads to a state.
    MissingTarget,
    /// No state ends the machine.
    NoTerminal,
    /// Two states have one name.
    DuplicateName,
    /// Something that a template engine was to replace is still there.
    Unresolved,
    /// It works, but not as it looks.
    Suspicious,
}

impl Code {
    /// As text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "INVALID_JSON_DESCRIPTION",
            Self::Schema => "SCHEMA_VALIDATION_FAILED",
            Self::MissingTarget => "MISSING_TRANSITION_TARGET",
            Self::NoTerminal => "NO_TERMINAL_STATE",
            Self::DuplicateName => "DUPLICATE_STATE_NAME",
            Self::Unresolved => "UNRESOLVED_SUBSTITUTION",
            Self::Suspicious => "SUSPICIOUS_DEFINITION",
        }
    }
}

/// One fault of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Of which kind it is.
    pub code: Code,
    /// Where: a JSON pointer (RFC 6901) into the definition.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Diagnostic {
    /// A fault at `path`.
    pub fn error(
        code: Code,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            code,
            path: path.into(),
            message: message.into(),
            help: help.into(),
        }
    }

    /// The same, but the definition can be used.
    #[must_use]
    pub fn warning(self) -> Self {
        Self {
            severity: Severity::Warning,
            ..self
        }
    }

    /// Where, as AWS writes it: the definition itself is `/`.
    pub fn location(&self) -> &str {
        if self.path.is_empty() {
            "/"
        } else {
            &self.path
        }
    }
}

impl From<Diagnostic> for Fault {
    fn from(diagnostic: Diagnostic) -> Self {
        let Diagnostic { message, help, .. } = diagnostic;
        Self::new(diagnostic.path, format!("{message}; {help}"))
    }
}

/// All that a validator says of a definition, in the order of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report<'a> {
    source: Source<'a>,
    /// What it says.
    pub diagnostics: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    pub(super) fn new(source: Source<'a>, mut diagnostics: Vec<Diagnostic>) -> Self {
        let place = |d: &Diagnostic| source.locate(&d.path).map(|p| p.offset);
        diagnostics.sort_by_cached_key(place);
        Self {
            source,
            diagnostics,
        }
    }

    /// Whether the definition can be used.
    pub fn is_ok(&self) -> bool {
        self.errors().next().is_none()
    }

    /// The diagnostics that forbid its use.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        let diagnostics = self.diagnostics.iter();
        diagnostics.filter(|d| d.severity == Severity::Error)
    }

    pub(super) fn into_faults(self) -> DefinitionFaults {
        let errors = self.diagnostics.into_iter();
        let errors = errors.filter(|d| d.severity == Severity::Error);
        DefinitionFaults(errors.map(Fault::from).collect())
    }
}

/// As a compiler shows them: with the line, and a mark under the place.
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let severity = match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let (code, message) = (diagnostic.code.as_str(), &diagnostic.message);
            writeln!(f, "{severity}[{code}]: {message}")?;
            match self.source.locate(&diagnostic.path) {
                Some(position) => self.excerpt(f, diagnostic.location(), position)?,
                None => writeln!(f, "  --> {}", diagnostic.location())?,
            }
            writeln!(f, "   = help: {}", diagnostic.help)?;
        }
        Ok(())
    }
}

impl Report<'_> {
    fn excerpt(&self, f: &mut fmt::Formatter<'_>, path: &str, at: Position) -> fmt::Result {
        let (line, before) = self.source.excerpt(at);
        let gutter = at.line.to_string().len().max(3);
        writeln!(f, "{:>gutter$}--> {}:{} {path}", "", at.line, at.column)?;
        writeln!(f, "{:>gutter$} |", "")?;
        writeln!(f, "{:>gutter$} | {line}", at.line)?;
        let marks = "^".repeat(at.length.min(line.chars().count() - before).max(1));
        writeln!(f, "{:>gutter$} | {:before$}{marks}", "", "")
    }
}
