//! Which variables each state reads.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{
    Amount, Comparison, Condition, Flow, Items, Kind, Limit, Map, Operand, Selection, State,
    StateMachine, Text, Wait,
};
use super::path::Path;
use super::template::{Query, Template};

/// The names of variables.
type Names = BTreeSet<String>;

impl StateMachine {
    /// For each state that reads variables, their names; as AWS's `DescribeStateMachine` tells
    /// them.
    pub fn variable_references(&self) -> BTreeMap<String, BTreeSet<String>> {
        let states = self.states.iter();
        let states = states.map(|state| (state.name.to_string(), state.variables()));
        states.filter(|(_, names)| !names.is_empty()).collect()
    }
}

impl State {
    fn variables(&self) -> Names {
        let mut names = Names::new();
        self.flow.variables(&mut names);
        for catcher in &self.catch {
            template(catcher.assign.as_ref(), &mut names);
            template(catcher.output.as_ref(), &mut names);
        }
        match &self.kind {
            Kind::Pass { .. } | Kind::Succeed | Kind::Parallel { .. } => {}
            Kind::Task(task) => {
                amount(task.timeout.as_ref(), &mut names);
                amount(task.heartbeat.as_ref(), &mut names);
                template(task.credentials.as_ref(), &mut names);
            }
            Kind::Choice { rules, .. } => {
                for rule in rules {
                    condition(&rule.condition, &mut names);
                    template(rule.assign.as_ref(), &mut names);
                    template(rule.output.as_ref(), &mut names);
                }
            }
            Kind::Wait(Wait::Seconds(seconds)) => amount(Some(seconds), &mut names),
            Kind::Wait(Wait::Until(until)) => text(Some(until), &mut names),
            Kind::Fail { error, cause } => {
                text(error.as_ref(), &mut names);
                text(cause.as_ref(), &mut names);
            }
            Kind::Map(map) => map.variables(&mut names),
        }
        names
    }
}

impl Flow {
    fn variables(&self, names: &mut Names) {
        for selection in [&self.input_path, &self.output_path] {
            if let Selection::Path(path) = selection {
                variable(path, names);
            }
        }
        let templates = [
            &self.arguments,
            &self.result_selector,
            &self.assign,
            &self.output,
        ];
        templates.iter().for_each(|t| template(t.as_ref(), names));
    }
}

impl Map {
    fn variables(&self, names: &mut Names) {
        match &self.items {
            Items::Input => {}
            Items::Path(path) => variable(path, names),
            Items::Template(items) => template(Some(items), names),
        }
        template(self.selector.as_ref(), names);
        limit(&self.concurrency, names);
        limit(&self.tolerated_count, names);
        limit(&self.tolerated_percentage, names);
        if let Some(reader) = &self.reader {
            template(reader.arguments.as_ref(), names);
            limit(&reader.max_items, names);
        }
        if let Some(batcher) = &self.batcher {
            amount(batcher.max_items.as_ref(), names);
            amount(batcher.max_bytes.as_ref(), names);
            template(batcher.input.as_ref(), names);
        }
        if let Some(writer) = &self.writer {
            template(writer.arguments.as_ref(), names);
        }
    }
}

fn variable(path: &Path, names: &mut Names) {
    names.extend(path.variable().map(Into::into));
}

fn query(query: &Query, names: &mut Names) {
    let own = |name: &String| name != "states";
    names.extend(query.variables().into_iter().filter(own));
}

fn template(template: Option<&Template>, names: &mut Names) {
    let mut queries = Vec::new();
    if let Some(template) = template {
        template.queries(&mut queries);
    }
    queries.into_iter().for_each(|found| query(found, names));
}

fn amount(amount: Option<&Amount>, names: &mut Names) {
    if let Some(Amount::Computed(place)) = amount {
        query(&place.query, names);
    }
}

fn limit(limit: &Limit, names: &mut Names) {
    if let Limit::Computed(place) = limit {
        query(&place.query, names);
    }
}

fn text(text: Option<&Text>, names: &mut Names) {
    if let Some(Text::Computed(place)) = text {
        query(&place.query, names);
    }
}

fn condition(tested: &Condition, names: &mut Names) {
    match tested {
        Condition::Literal(_) => {}
        Condition::And(inner) | Condition::Or(inner) => {
            inner.iter().for_each(|inner| condition(inner, names));
        }
        Condition::Not(inner) => condition(inner, names),
        Condition::Expression(place) => query(&place.query, names),
        Condition::Compare {
            variable: path,
            comparison,
        } => {
            variable(path, names);
            if let Comparison::With(_, Operand::Path(path)) = comparison {
                variable(path, names);
            }
        }
    }
}
