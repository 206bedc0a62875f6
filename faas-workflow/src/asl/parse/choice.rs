//! Choice states.

use serde_json::Value;

use super::Parser;
use super::fields::Fields;
use super::state::Context;
use crate::asl::expression::QueryLanguage;
use crate::asl::model::{Comparison, Condition, Kind, Operand, Operator, Rule};
use crate::asl::model::{Test, Type};
use crate::asl::timestamp;

/// How deep conditions may nest.
const DEPTH: usize = 32;

const TESTS: [(&str, Test); 6] = [
    ("IsNull", Test::Null),
    ("IsPresent", Test::Present),
    ("IsNumeric", Test::Numeric),
    ("IsString", Test::String),
    ("IsBoolean", Test::Boolean),
    ("IsTimestamp", Test::Timestamp),
];

/// The fields of a rule that are no part of its condition.
const OTHERS: [&str; 5] = ["Next", "Comment", "Variable", "Assign", "Output"];

impl Parser<'_> {
    pub(super) fn choice(
        &mut self,
        fields: &mut Fields<'_>,
        context: &Context<'_, '_>,
    ) -> Option<Kind> {
        fields.required(self, &["Choices"]);
        let default = fields.text(self, "Default");
        let default = default.map(|name| self.target(context.targets, name, &fields.at("Default")));
        let choices = fields.list(self, "Choices")?;
        if choices.is_empty() {
            self.error(
                fields.at("Choices"),
                "there are no choices",
                "add at least one rule",
            );
        }
        let mut rules = Vec::new();
        for (index, value) in choices.iter().enumerate() {
            let path = format!("{}/{index}", fields.at("Choices"));
            let Some(mut fields) = Fields::of(self, value, &path) else {
                continue;
            };
            rules.push(self.rule(&mut fields, context));
            fields.finish(self);
        }
        let rules = rules.into_iter().collect::<Option<Vec<_>>>()?;
        let default = match default {
            None => None,
            Some(target) => Some(target?),
        };
        Some(Kind::Choice { rules, default })
    }

    fn rule(&mut self, fields: &mut Fields<'_>, context: &Context<'_, '_>) -> Option<Rule> {
        let query = context.query;
        let assign = self.assign(fields, query);
        let output = match query {
            QueryLanguage::Jsonata => self.template(fields, "Output", query),
            QueryLanguage::JsonPath => None,
        };
        fields.required(self, &["Next"]);
        let next = fields.text(self, "Next");
        let next = next.and_then(|name| self.target(context.targets, name, &fields.at("Next")));
        let condition = match query {
            QueryLanguage::JsonPath => self.condition(fields, 0),
            QueryLanguage::Jsonata => self.jsonata_condition(fields),
        };
        Some(Rule {
            condition: condition?,
            next: next?,
            assign,
            output,
        })
    }

    fn jsonata_condition(&mut self, fields: &mut Fields<'_>) -> Option<Condition> {
        fields.text(self, "Comment");
        fields.required(self, &["Condition"]);
        if let Some(Value::Bool(literal)) = fields.get("Condition") {
            return Some(Condition::Literal(*literal));
        }
        let text = fields.text(self, "Condition")?;
        let place = self.demand(text, &fields.at("Condition"), "Condition")?;
        Some(Condition::Expression(place))
    }

    fn condition(&mut self, fields: &mut Fields<'_>, depth: usize) -> Option<Condition> {
        if depth > DEPTH {
            let message = format!("conditions nest deeper than {DEPTH} levels");
            self.error(fields.path(), message, "use several Choice states");
            return None;
        }
        fields.text(self, "Comment");
        let names: Vec<&'static str> = fields
            .names()
            .filter_map(|name| operator_name(name))
            .collect();
        let [name] = names[..] else {
            let (message, help) = match names.len() {
                0 => (
                    "the rule compares nothing".into(),
                    "add \"Variable\" and one operator, or \"And\", \"Or\" or \"Not\"",
                ),
                _ => (
                    format!("the rule has the operators {names:?}"),
                    "keep one, and combine several rules with \"And\"",
                ),
            };
            self.error(fields.path(), message, help);
            return None;
        };
        match name {
            "And" => self.conditions(fields, "And", depth).map(Condition::And),
            "Or" => self.conditions(fields, "Or", depth).map(Condition::Or),
            "Not" => {
                let value = fields.get("Not")?;
                let mut inner = Fields::of(self, value, &fields.at("Not"))?;
                let condition = self.condition(&mut inner, depth + 1);
                inner.finish(self);
                condition.map(|c| Condition::Not(Box::new(c)))
            }
            comparison => {
                fields.required(self, &["Variable"]);
                let comparison = self.comparison(fields, comparison);
                let variable = self.path(fields, "Variable");
                Some(Condition::Compare {
                    variable: variable?,
                    comparison: comparison?,
                })
            }
        }
    }

    fn conditions(
        &mut self,
        fields: &mut Fields<'_>,
        name: &'static str,
        depth: usize,
    ) -> Option<Vec<Condition>> {
        let list = fields.list(self, name)?;
        let at = fields.at(name);
        if list.is_empty() {
            self.error(
                &at,
                format!("{name} is empty; non-empty required"),
                "add a condition",
            );
        }
        let mut conditions = Vec::new();
        for (index, value) in list.iter().enumerate() {
            let mut inner = Fields::of(self, value, &format!("{at}/{index}"))?;
            conditions.push(self.condition(&mut inner, depth + 1));
            inner.finish(self);
        }
        conditions.into_iter().collect()
    }

    fn comparison(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Option<Comparison> {
        if let Some((_, test)) = TESTS.iter().find(|(test, _)| *test == name) {
            return fields
                .flag(self, name)
                .map(|wanted| Comparison::Is(*test, wanted));
        }
        if let Some(operator) = name.strip_suffix("Path").and_then(Operator::named) {
            let path = self.path(fields, name)?;
            return Some(Comparison::With(operator, Operand::Path(path)));
        }
        let operator = Operator::named(name)?;
        let value = fields.get(name)?;
        let (fits, wanted) = match operator.operand_type() {
            Type::String => (value.is_string(), "a text"),
            Type::Numeric => (value.is_number(), "a number"),
            Type::Boolean => (value.is_boolean(), "true or false"),
            Type::Timestamp => {
                let fits = value.as_str().and_then(timestamp::parse).is_some();
                (fits, "an RFC 3339 timestamp like 2016-03-14T01:59:00Z")
            }
        };
        if !fits {
            let message = format!("{name} compares with {value}, which is not {wanted}");
            self.error(fields.at(name), message, format!("write {wanted}"));
            return None;
        }
        Some(Comparison::With(operator, Operand::Literal(value.clone())))
    }
}

/// The field's name, if it is an operator.
fn operator_name(name: &str) -> Option<&'static str> {
    if OTHERS.contains(&name) {
        return None;
    }
    operator_names().find(|known| *known == name)
}

fn operator_names() -> impl Iterator<Item = &'static str> {
    const NAMES: &[&str] = &[
        "And",
        "Or",
        "Not",
        "StringEquals",
        "StringEqualsPath",
        "StringLessThan",
        "StringLessThanPath",
        "StringGreaterThan",
        "StringGreaterThanPath",
        "StringLessThanEquals",
        "StringLessThanEqualsPath",
        "StringGreaterThanEquals",
        "StringGreaterThanEqualsPath",
        "StringMatches",
        "StringMatchesPath",
        "NumericEquals",
        "NumericEqualsPath",
        "NumericLessThan",
        "NumericLessThanPath",
        "NumericGreaterThan",
        "NumericGreaterThanPath",
        "NumericLessThanEquals",
        "NumericLessThanEqualsPath",
        "NumericGreaterThanEquals",
        "NumericGreaterThanEqualsPath",
        "BooleanEquals",
        "BooleanEqualsPath",
        "TimestampEquals",
        "TimestampEqualsPath",
        "TimestampLessThan",
        "TimestampLessThanPath",
        "TimestampGreaterThan",
        "TimestampGreaterThanPath",
        "TimestampLessThanEquals",
        "TimestampLessThanEqualsPath",
        "TimestampGreaterThanEquals",
        "TimestampGreaterThanEqualsPath",
    ];
    let tests = TESTS.iter().map(|(name, _)| *name);
    NAMES.iter().copied().chain(tests)
}
