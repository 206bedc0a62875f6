//! From a definition's text to a [`StateMachine`], with all faults at once.

mod choice;
mod fields;
mod handlers;
mod links;
mod map;
mod query;
mod resource;
mod state;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::diagnostic::{Code, Diagnostic, Report};
use super::expression::{ExpressionLanguage, QueryLanguage};
use super::model::{State, StateIndex, StateMachine};
use super::settings::{MAX_SECONDS, Settings};
use super::source::{Source, join};
use crate::program::DefinitionDigest;
use fields::Fields;
pub(super) use resource::{lambda_qualifier, resource_kind};

/// How many faults are told; nobody reads more.
const FAULTS: usize = 1000;

/// What is known while a definition is read.
struct Parser<'a> {
    settings: &'a Settings,
    language: Option<&'a Arc<dyn ExpressionLanguage>>,
    diagnostics: Vec<Diagnostic>,
    /// In the order of their indices; a state that cannot be read stays out.
    states: Vec<Option<State>>,
    /// Where each name was given first.
    names: HashMap<String, String>,
    /// Whether it was said that nobody evaluates expressions.
    told: bool,
}

/// What a machine within a definition, or the definition itself, is read with.
#[derive(Clone, Copy)]
struct Scope {
    query: QueryLanguage,
    /// How many Parallel and Map states it is within.
    depth: usize,
}

/// The names of one machine's states.
struct Targets<'v>(HashMap<&'v str, StateIndex>);

/// Reads a definition; the machine is there if the report has no errors.
pub(super) fn parse<'a>(
    text: &'a str,
    digest: DefinitionDigest,
    settings: &Settings,
    language: Option<&Arc<dyn ExpressionLanguage>>,
) -> (Option<StateMachine>, Report<'a>) {
    let source = Source(text);
    let mut parser = Parser {
        settings,
        language,
        diagnostics: Vec::new(),
        states: Vec::new(),
        names: HashMap::new(),
        told: false,
    };
    let parts = parser.definition(source);
    let report = Report::new(source, parser.diagnostics);
    let states: Option<Vec<State>> = parser.states.into_iter().collect();
    let machine = match (parts, states) {
        (Some((start, timeout)), Some(states)) if report.is_ok() => Some(StateMachine {
            digest,
            settings: settings.clone(),
            states,
            start,
            timeout,
        }),
        _ => None,
    };
    (machine, report)
}

impl Parser<'_> {
    fn tell(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < FAULTS {
            self.diagnostics.push(diagnostic);
        }
    }

    fn error(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.tell(Diagnostic::error(Code::Schema, path, message, help));
    }

    fn warning(&mut self, code: Code, path: impl Into<String>, message: &str, help: &str) {
        self.tell(Diagnostic::error(code, path, message, help).warning());
    }

    fn definition(&mut self, source: Source<'_>) -> Option<(StateIndex, Option<u64>)> {
        let limit = self.settings.limits.definition_bytes;
        if source.0.len() > limit {
            let message = format!("the text has {} bytes; {limit} are allowed", source.0.len());
            let help = "move parts of it into state machines of their own, started by Task states";
            self.error("", message, help);
            return None;
        }
        if source.0.trim().is_empty() {
            let help = "begin with {\"StartAt\": …, \"States\": {…}}";
            self.error("", "the definition is no JSON object", help);
            return None;
        }
        let value = match source.parse() {
            Ok((value, repeated)) => {
                repeated.into_iter().for_each(|fault| self.tell(fault));
                value
            }
            Err(fault) => {
                self.tell(fault);
                return None;
            }
        };
        let mut fields = Fields::of(self, &value, "")?;
        fields.text(self, "Comment");
        fields.text(self, "Version");
        let query = fields.query_language(self).unwrap_or_default();
        if query == QueryLanguage::Jsonata {
            self.needs_evaluator("/QueryLanguage");
        }
        let timeout = fields.count(self, "TimeoutSeconds", 1..=MAX_SECONDS);
        let scope = Scope { query, depth: 0 };
        let start = self.machine(&mut fields, scope);
        fields.finish(self);
        Some((start?, timeout))
    }

    /// The states of a machine, or of a branch or processor; answers where it starts.
    fn machine(&mut self, fields: &mut Fields<'_>, scope: Scope) -> Option<StateIndex> {
        let missing: Vec<_> = ["StartAt", "States"]
            .into_iter()
            .filter(|field| fields.get(field).is_none())
            .collect();
        if !missing.is_empty() {
            let names = missing.join(", ");
            let help = "name the first state in \"StartAt\", and define all of them in \"States\"";
            self.error(
                fields.path(),
                format!("these fields are required: {names}"),
                help,
            );
        }
        let start = fields.text(self, "StartAt");
        let states = fields.object(self, "States")?;
        let path = fields.at("States");
        if states.is_empty() {
            self.error(&path, "there are no states", "define at least one");
        }
        let targets = self.reserve(states.keys(), &path)?;
        for (name, value) in states {
            let index = targets.0[name.as_str()];
            let state = self.state(name, value, &join(&path, name), scope, &targets);
            self.states[index.0] = state;
        }
        let at = fields.at("StartAt");
        let start = start.and_then(|start| self.target(&targets, start, &at));
        self.check_links(states, &path, fields.get("StartAt").and_then(Value::as_str));
        start
    }

    /// An index for each state of a machine.
    fn reserve<'v>(
        &mut self,
        names: impl Iterator<Item = &'v String>,
        path: &str,
    ) -> Option<Targets<'v>> {
        let mut targets = HashMap::new();
        for name in names {
            if self.states.len() >= self.settings.limits.states {
                let limit = self.settings.limits.states;
                let message = format!("the definition has more than {limit} states");
                let help = "move parts of it into state machines of their own";
                self.error(path, message, help);
                return None;
            }
            targets.insert(name.as_str(), StateIndex(self.states.len()));
            self.states.push(None);
            self.check_name(name, join(path, name));
        }
        Some(Targets(targets))
    }

    fn check_name(&mut self, name: &str, path: String) {
        let count = name.chars().count();
        if !(1..=80).contains(&count) {
            let message = format!("the name of a state has {count} characters");
            self.error(&path, message, "give it a name of 1 to 80 characters");
        }
        if let Some(first) = self.names.get(name) {
            let message = format!("{name:?} is the name of the state at {first} too");
            let help = "rename one of them: names are unique, those in branches and maps included";
            self.tell(Diagnostic::error(Code::DuplicateName, path, message, help));
        } else {
            self.names.insert(name.into(), path);
        }
    }

    /// A machine within a Parallel or Map state.
    fn inner(&mut self, fields: &mut Fields<'_>, scope: Scope) -> Option<StateIndex> {
        let limit = self.settings.limits.nesting;
        if scope.depth >= limit {
            let message = format!("Parallel and Map states nest deeper than {limit} levels");
            let help = "move the inner part into a state machine of its own";
            self.error(fields.path(), message, help);
            return None;
        }
        fields.text(self, "Comment");
        let scope = Scope {
            depth: scope.depth + 1,
            ..scope
        };
        self.machine(fields, scope)
    }

    fn needs_evaluator(&mut self, path: &str) {
        if self.language.is_none() && !std::mem::replace(&mut self.told, true) {
            let message = "the query language JSONata is used, and nothing here evaluates it";
            let help = "give StatesLanguage an ExpressionLanguage, or use JSONPath";
            self.error(path, message, help);
        }
    }
}
