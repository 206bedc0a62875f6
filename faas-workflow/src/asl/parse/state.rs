//! One state.

use std::sync::Arc;

use serde_json::Value;

use super::fields::{Fields, nearest};
use super::{Parser, Scope, Targets};
use crate::asl::diagnostic::{Code, Diagnostic};
use crate::asl::expression::QueryLanguage;
use crate::asl::model::{Flow, Kind, Next, State, StateIndex, Text, Wait};
use crate::asl::settings::MAX_SECONDS;
use crate::asl::timestamp;

/// The types of states, with what each takes and gives.
const TYPES: [&str; 8] = [
    "Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map",
];

/// What each state is read with.
pub(super) struct Context<'c, 'v> {
    pub(super) scope: Scope,
    pub(super) query: QueryLanguage,
    pub(super) targets: &'c Targets<'v>,
}

impl Parser<'_> {
    pub(super) fn state(
        &mut self,
        name: &str,
        value: &Value,
        path: &str,
        scope: Scope,
        targets: &Targets<'_>,
    ) -> Option<State> {
        let mut fields = Fields::of(self, value, path)?;
        fields.required(self, &["Type"]);
        let kind = fields.text(self, "Type")?;
        if !TYPES.contains(&kind) {
            let message = format!("the field \"Type\" should have one of these values: {TYPES:?}");
            let help = match nearest(kind, TYPES.into_iter()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("there is no type {kind:?}"),
            };
            self.error(fields.at("Type"), message, help);
            return None;
        }
        fields.text(self, "Comment");
        let query = self.state_query(&mut fields, scope);
        let context = Context {
            scope: Scope { query, ..scope },
            query,
            targets,
        };
        let flow = self.flow(&mut fields, kind, query);
        let next = match kind {
            "Succeed" | "Fail" | "Choice" => Some(Next::End),
            _ => self.next(&mut fields, targets),
        };
        let (mut retry, mut catch) = (Vec::new(), Vec::new());
        if matches!(kind, "Task" | "Parallel" | "Map") {
            retry = self.retriers(&mut fields);
            catch = self.catchers(&mut fields, &context);
        }
        let kind = self.kind(&mut fields, kind, &context, name);
        fields.finish(self);
        Some(State {
            name: Arc::from(name),
            query,
            flow,
            kind: kind?,
            next: next?,
            retry,
            catch,
        })
    }

    fn state_query(&mut self, fields: &mut Fields<'_>, scope: Scope) -> QueryLanguage {
        let Some(query) = fields.query_language(self) else {
            return scope.query;
        };
        if query == QueryLanguage::Jsonata {
            self.needs_evaluator(&fields.at("QueryLanguage"));
        } else if scope.query == QueryLanguage::Jsonata {
            let message =
                "\"QueryLanguage\" cannot be JSONPath where the whole state machine's is JSONata";
            let help = "make JSONPath the state machine's, and JSONata that of single states";
            self.error(fields.path(), message, help);
        }
        query
    }

    /// What a state takes and gives, as far as its type has it.
    fn flow(&mut self, fields: &mut Fields<'_>, kind: &str, query: QueryLanguage) -> Flow {
        let mut flow = Flow::default();
        if query == QueryLanguage::Jsonata {
            if matches!(kind, "Task" | "Parallel") {
                flow.arguments = self.template(fields, "Arguments", query);
            }
            if kind != "Fail" {
                flow.output = self.template(fields, "Output", query);
            }
        } else {
            if kind != "Fail" {
                flow.input_path = self.selection(fields, "InputPath");
                flow.output_path = self.selection(fields, "OutputPath");
            }
            if matches!(kind, "Pass" | "Task" | "Parallel") {
                flow.arguments = self.template(fields, "Parameters", query);
            }
            if matches!(kind, "Task" | "Parallel" | "Map") {
                flow.result_selector = self.template(fields, "ResultSelector", query);
            }
            if matches!(kind, "Pass" | "Task" | "Parallel" | "Map") {
                flow.result_path = self.result_path(fields);
            }
        }
        if !matches!(kind, "Succeed" | "Fail") {
            flow.assign = self.assign(fields, query);
        }
        flow
    }

    fn next(&mut self, fields: &mut Fields<'_>, targets: &Targets<'_>) -> Option<Next> {
        fields.required(self, &["Next", "End"]);
        fields.exclusive(self, &["Next", "End"]);
        if let Some(end) = fields.flag(self, "End") {
            if !end {
                let help = "write true, or remove it and name the next state in \"Next\"";
                self.error(fields.at("End"), "End is false, which says nothing", help);
            }
            return Some(Next::End);
        }
        let next = fields.text(self, "Next")?;
        self.target(targets, next, &fields.at("Next")).map(Next::To)
    }

    /// The state that a transition names.
    pub(super) fn target(
        &mut self,
        targets: &Targets<'_>,
        name: &str,
        at: &str,
    ) -> Option<StateIndex> {
        let found = targets.0.get(name).copied();
        if found.is_none() {
            let message = format!("there is no state {name:?} to go to");
            let help = match nearest(name, targets.0.keys().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => {
                    "name a state of the same machine: branches and maps are machines of their \
                         own, and nothing leads out of them or into them"
                        .into()
                }
            };
            self.tell(Diagnostic::error(Code::MissingTarget, at, message, help));
        }
        found
    }

    fn kind(
        &mut self,
        fields: &mut Fields<'_>,
        kind: &str,
        context: &Context<'_, '_>,
        name: &str,
    ) -> Option<Kind> {
        match kind {
            "Pass" => Some(Kind::Pass {
                result: match context.query {
                    QueryLanguage::JsonPath => fields.get("Result").cloned(),
                    QueryLanguage::Jsonata => None,
                },
            }),
            "Task" => self.task(fields, context).map(|t| Kind::Task(Box::new(t))),
            "Choice" => self.choice(fields, context),
            "Wait" => self.wait(fields, context.query).map(Kind::Wait),
            "Succeed" => Some(Kind::Succeed),
            "Fail" => Some(Kind::Fail {
                error: self.text(fields, ("Error", "ErrorPath"), context.query),
                cause: self.text(fields, ("Cause", "CausePath"), context.query),
            }),
            "Parallel" => self.parallel(fields, context),
            _ => self
                .map(fields, context, name)
                .map(|m| Kind::Map(Box::new(m))),
        }
    }

    fn wait(&mut self, fields: &mut Fields<'_>, query: QueryLanguage) -> Option<Wait> {
        let names: &[&'static str] = match query {
            QueryLanguage::JsonPath => &["Seconds", "SecondsPath", "Timestamp", "TimestampPath"],
            QueryLanguage::Jsonata => &["Seconds", "Timestamp"],
        };
        fields.required(self, names);
        fields.exclusive(self, names);
        let seconds = self.amount(fields, ("Seconds", "SecondsPath"), 0..=MAX_SECONDS, query);
        let timestamp = ["Timestamp", "TimestampPath"];
        // A path here is a path: no call can stand there.
        let until = match fields.peek("TimestampPath").and_then(Value::as_str) {
            Some(text) if query == QueryLanguage::JsonPath && !text.starts_with('$') => {
                self.path(fields, "TimestampPath");
                None
            }
            _ => self.text(fields, (timestamp[0], timestamp[1]), query),
        };
        if let Some(Text::Literal(text)) = &until
            && timestamp::parse(text).is_none()
        {
            let message = format!("{text:?} is no RFC 3339 timestamp");
            let help = "write it like 2016-03-14T01:59:00Z";
            self.error(fields.at("Timestamp"), message, help);
        }
        seconds.map(Wait::Seconds).or(until.map(Wait::Until))
    }

    fn parallel(&mut self, fields: &mut Fields<'_>, context: &Context<'_, '_>) -> Option<Kind> {
        fields.required(self, &["Branches"]);
        let branches = fields.list(self, "Branches")?;
        if branches.is_empty() {
            let help = "define at least one branch";
            self.error(fields.at("Branches"), "there are no branches", help);
        }
        let mut starts = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let path = format!("{}/{index}", fields.at("Branches"));
            let Some(mut branch) = Fields::of(self, branch, &path) else {
                continue;
            };
            starts.push(self.inner(&mut branch, context.scope));
            branch.finish(self);
        }
        let branches = starts.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Kind::Parallel { branches })
    }
}
