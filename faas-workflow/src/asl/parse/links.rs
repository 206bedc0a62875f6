//! Whether every state of a machine is reached, and whether it ends.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Parser;
use crate::asl::diagnostic::{Code, Diagnostic};
use crate::asl::source::join;

impl Parser<'_> {
    /// Checks one machine, whose states stand at `path`.
    pub(super) fn check_links(
        &mut self,
        states: &Map<String, Value>,
        path: &str,
        start: Option<&str>,
    ) {
        let mut reached: HashSet<&str> = HashSet::new();
        let mut open: Vec<&str> = start.into_iter().collect();
        while let Some(name) = open.pop() {
            if let Some(state) = states.get(name)
                && reached.insert(name)
            {
                open.extend(transitions(state));
            }
        }
        let starts = start.is_some_and(|start| states.contains_key(start));
        for name in states.keys().filter(|_| starts) {
            if !reached.contains(name.as_str()) {
                let message = format!("the state {name:?} is not reachable");
                let help = "name it in a \"Next\", \"Default\" or \"StartAt\", or remove it";
                let at = join(path, name);
                self.tell(Diagnostic::error(Code::MissingTarget, at, message, help));
            }
        }
        if !states.is_empty() && !states.values().any(is_terminal) {
            let message = "the machine never ends: no state is terminal";
            let help = "add \"End\": true to the last state, or a Succeed or Fail state";
            self.tell(Diagnostic::error(Code::NoTerminal, path, message, help));
        }
    }
}

fn is_terminal(state: &Value) -> bool {
    let kind = state.get("Type").and_then(Value::as_str);
    matches!(kind, Some("Succeed" | "Fail")) || state.get("End") == Some(&Value::Bool(true))
}

/// The names of the states that may follow.
fn transitions(state: &Value) -> impl Iterator<Item = &str> {
    let rules = ["Choices", "Catch"].into_iter();
    let rules = rules.filter_map(|field| state.get(field).and_then(Value::as_array));
    let rules = rules.flatten().map(|rule| rule.get("Next"));
    let direct = [state.get("Next"), state.get("Default")];
    let all = rules.chain(direct).flatten();
    all.filter_map(Value::as_str)
}
