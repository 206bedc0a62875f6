//! Choice states.

use std::cmp::Ordering;

use serde_json::Value;

use super::Turn;
use super::evaluate::{Absent, Evaluator};
use super::exit::Exit;
use super::failure::{NO_CHOICE, RUNTIME, Trouble};
use super::frame::{Active, Frame};
use super::states::unexpected;
use super::turn::After;
use crate::asl::model::{
    Comparison, Condition, Next, Operand, Operator, Rule, State, StateIndex, Test, Type,
};
use crate::asl::path::Path;
use crate::asl::timestamp;
use crate::program::Data;

impl Turn<'_> {
    pub(super) fn choose(
        &mut self,
        frame: &mut Frame,
        active: &mut Active,
        state: &State,
        rules: &[Rule],
        default: Option<StateIndex>,
        input: &Data,
    ) -> Result<After, Trouble> {
        for rule in rules {
            let mut evaluator = self.evaluator(frame, active, input);
            if evaluator.holds(&rule.condition)? {
                let exit = Exit {
                    assign: rule.assign.as_ref(),
                    output: rule.output.as_ref(),
                    next: Next::To(rule.next),
                };
                return self.exit_by(frame, active, state, input.clone(), &exit);
            }
        }
        let Some(default) = default else {
            let detail =
                "Failed to transition out of the state. The state does not point to a next state.";
            return Err(Trouble::new(NO_CHOICE, detail));
        };
        let exit = Exit {
            assign: state.flow.assign.as_ref(),
            output: state.flow.output.as_ref(),
            next: Next::To(default),
        };
        self.exit_by(frame, active, state, input.clone(), &exit)
    }
}

impl Evaluator<'_> {
    fn holds(&mut self, condition: &Condition) -> Result<bool, Trouble> {
        match condition {
            Condition::Literal(holds) => Ok(*holds),
            Condition::And(all) => {
                for condition in all {
                    if !self.holds(condition)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Condition::Or(any) => {
                for condition in any {
                    if self.holds(condition)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Condition::Not(condition) => self.holds(condition).map(|holds| !holds),
            Condition::Expression(place) => {
                let value = self.place(place)?;
                value
                    .as_bool()
                    .ok_or_else(|| unexpected(place, "boolean", &value))
            }
            Condition::Compare {
                variable,
                comparison,
            } => self.compare(variable, comparison),
        }
    }

    fn operand(&mut self, path: &Path) -> Result<Data, Trouble> {
        self.path(path).map_err(|absent| match absent {
            Absent::Missing(_) => {
                let detail = format!(
                    "Invalid path '{}': The choice state's condition path references an invalid \
                     value.",
                    path.text()
                );
                Trouble::new(RUNTIME, detail)
            }
            Absent::Trouble(trouble) => trouble,
        })
    }

    fn compare(&mut self, variable: &Path, comparison: &Comparison) -> Result<bool, Trouble> {
        if let Comparison::Is(Test::Present, wanted) = comparison {
            return match self.path(variable) {
                Ok(_) => Ok(*wanted),
                Err(Absent::Missing(_)) => Ok(!wanted),
                Err(Absent::Trouble(trouble)) => Err(trouble),
            };
        }
        let value = self.operand(variable)?;
        match comparison {
            Comparison::Is(test, wanted) => Ok(passes(*test, &value) == *wanted),
            Comparison::With(operator, Operand::Literal(operand)) => {
                Ok(relates(*operator, &value, operand))
            }
            Comparison::With(operator, Operand::Path(path)) => {
                let operand = self.operand(path)?;
                Ok(relates(*operator, &value, &operand))
            }
        }
    }
}

fn passes(test: Test, value: &Value) -> bool {
    match test {
        Test::Null => value.is_null(),
        Test::Present => true,
        Test::Numeric => value.is_number(),
        Test::String => value.is_string(),
        Test::Boolean => value.is_boolean(),
        Test::Timestamp => value.as_str().and_then(timestamp::parse).is_some(),
    }
}

/// Whether two values relate so; values of another type never do.
fn relates(operator: Operator, left: &Value, right: &Value) -> bool {
    if operator == Operator::Matches {
        let texts = left.as_str().zip(right.as_str());
        return texts.is_some_and(|(text, pattern)| matches(text, pattern));
    }
    let order = order(operator.operand_type(), left, right);
    match operator {
        Operator::Equals(_) => order == Some(Ordering::Equal),
        Operator::LessThan(_) => order == Some(Ordering::Less),
        Operator::GreaterThan(_) => order == Some(Ordering::Greater),
        Operator::LessThanEquals(_) => order.is_some_and(Ordering::is_le),
        Operator::GreaterThanEquals(_) => order.is_some_and(Ordering::is_ge),
        Operator::Matches => false,
    }
}

fn order(of: Type, left: &Value, right: &Value) -> Option<Ordering> {
    match of {
        // As Java compares texts: by their UTF-16 units.
        Type::String => Some(
            left.as_str()?
                .encode_utf16()
                .cmp(right.as_str()?.encode_utf16()),
        ),
        Type::Boolean => Some(left.as_bool()?.cmp(&right.as_bool()?)),
        Type::Timestamp => {
            let moment = |value: &Value| value.as_str().and_then(timestamp::parse);
            Some(moment(left)?.cmp(&moment(right)?))
        }
        Type::Numeric => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
    }
}

/// `StringMatches`: `*` stands for any text, `\*` for itself; linear in the lengths' product.
fn matches(text: &str, pattern: &str) -> bool {
    let mut tokens = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            '*' => None,
            '\\' => Some(characters.next().unwrap_or('\\')),
            other => Some(other),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut token) = (0, 0);
    // Where the last star was, and what it has swallowed so far.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match tokens.get(token) {
            Some(None) => {
                star = Some((token, at));
                token += 1;
            }
            Some(Some(wanted)) if *wanted == text[at] => {
                at += 1;
                token += 1;
            }
            _ => {
                let Some((place, swallowed)) = star else {
                    return false;
                };
                star = Some((place, swallowed + 1));
                at = swallowed + 1;
                token = place + 1;
            }
        }
    }
    tokens.iter().skip(token).all(Option::is_none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stars_stand_for_any_text() {
        for (text, pattern, wanted) in [
            ("log-2020.txt", "log-*.txt", true),
            ("log.txt", "log-*.txt", false),
            ("", "*", true),
            ("a*b", r"a\*b", true),
            ("axb", r"a\*b", false),
            (r"a\b", r"a\\b", true),
            ("abcabc", "*abc", true),
            ("abcabd", "*abc", false),
            ("abc", "a**c", true),
            ("ab", "a", false),
        ] {
            assert_eq!(matches(text, pattern), wanted, "{text} {pattern}");
        }
        let (text, pattern) = ("a".repeat(10_000), "*a".repeat(100) + "b");
        assert!(!matches(&text, &pattern));
    }

    #[test]
    fn values_of_other_types_do_not_relate() {
        let equals = |of| Operator::Equals(of);
        assert!(relates(equals(Type::Numeric), &json!(1), &json!(1.0)));
        assert!(!relates(equals(Type::Numeric), &json!("1"), &json!(1)));
        assert!(!relates(equals(Type::String), &json!(null), &json!("null")));
        let (zulu, berlin) = (
            json!("2012-10-09T18:00:55Z"),
            json!("2012-10-09T19:00:55+01:00"),
        );
        assert!(relates(equals(Type::Timestamp), &zulu, &berlin));
        assert!(!relates(
            Operator::GreaterThanEquals(Type::Timestamp),
            &zulu,
            &json!("x")
        ));
    }
}
