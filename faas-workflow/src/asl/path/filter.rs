//! Filters: `[?(@.price < 10 && @.isbn)]`.

use std::borrow::Cow;

use regex_lite::{Regex, RegexBuilder};
use serde_json::Value;

use super::evaluate::{PathError, Walk};
use super::parse::{self, Cursor, Place};
use super::{PathFault, Step};
use crate::asl::equal;

/// How deep a filter may nest.
const DEPTH: usize = 32;
/// How large a compiled regular expression may be, in bytes.
const REGEX_BYTES: usize = 1 << 18;

#[derive(Debug, Clone)]
pub(super) enum Filter {
    Or(Vec<Filter>),
    And(Vec<Filter>),
    Not(Box<Filter>),
    Exists(Operand),
    Compare(Operand, Operator, Operand),
    Matches(Operand, Regex),
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Literal(Value),
    /// `@…`
    Current(Vec<Step>),
    /// `$…`
    Whole(Vec<Step>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    Contains,
    SubsetOf,
    AnyOf,
    NoneOf,
    Size,
    Empty,
}

const OPERATORS: &[(&str, Operator)] = &[
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("in ", Operator::In),
    ("nin ", Operator::NotIn),
    ("contains ", Operator::Contains),
    ("subsetof ", Operator::SubsetOf),
    ("anyof ", Operator::AnyOf),
    ("noneof ", Operator::NoneOf),
    ("size ", Operator::Size),
    ("empty ", Operator::Empty),
];

pub(super) fn parse(cursor: &mut Cursor<'_>, depth: usize) -> Result<Filter, PathFault> {
    if depth > DEPTH {
        return Err(PathFault(format!("a filter nests at most {DEPTH} levels")));
    }
    let mut any = vec![all(cursor, depth)?];
    while cursor.token("||") {
        any.push(all(cursor, depth)?);
    }
    Ok(match any.len() {
        1 => any.swap_remove(0),
        _ => Filter::Or(any),
    })
}

fn all(cursor: &mut Cursor<'_>, depth: usize) -> Result<Filter, PathFault> {
    let mut all = vec![one(cursor, depth)?];
    while cursor.token("&&") {
        all.push(one(cursor, depth)?);
    }
    Ok(match all.len() {
        1 => all.swap_remove(0),
        _ => Filter::And(all),
    })
}

fn one(cursor: &mut Cursor<'_>, depth: usize) -> Result<Filter, PathFault> {
    cursor.blank();
    let negation = cursor.0.starts_with('!') && !cursor.0.starts_with("!=");
    if negation && cursor.eat("!") {
        if depth > DEPTH {
            return Err(PathFault(format!("a filter nests at most {DEPTH} levels")));
        }
        return Ok(Filter::Not(Box::new(one(cursor, depth + 1)?)));
    }
    if cursor.eat("(") {
        let inner = parse(cursor, depth + 1)?;
        cursor.expect(")")?;
        return Ok(inner);
    }
    let left = operand(cursor, depth)?;
    if cursor.token("=~") {
        return Ok(Filter::Matches(left, regex(cursor)?));
    }
    cursor.blank();
    match OPERATORS.iter().find(|(text, _)| cursor.eat(text)) {
        Some((_, operator)) => Ok(Filter::Compare(left, *operator, operand(cursor, depth)?)),
        None => Ok(Filter::Exists(left)),
    }
}

fn operand(cursor: &mut Cursor<'_>, depth: usize) -> Result<Operand, PathFault> {
    cursor.blank();
    if cursor.eat("@") {
        return parse::steps(cursor, Place::Filter).map(Operand::Current);
    }
    if cursor.eat("$") {
        return parse::steps(cursor, Place::Filter).map(Operand::Whole);
    }
    literal(cursor, depth).map(Operand::Literal)
}

fn literal(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, PathFault> {
    if let Some(text) = cursor.quoted()? {
        return Ok(text.into());
    }
    if cursor.eat("[") {
        if depth > DEPTH {
            return Err(PathFault(format!("a filter nests at most {DEPTH} levels")));
        }
        let mut elements = Vec::new();
        while !cursor.token("]") {
            if !elements.is_empty() {
                cursor.expect(",")?;
            }
            elements.push(literal(cursor, depth + 1)?);
        }
        return Ok(Value::Array(elements));
    }
    let word = cursor.take_while(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '+'));
    serde_json::from_str(word).map_err(|_| {
        PathFault(format!(
            "{word:?} is no value: it is a path, a number, a quoted text, true, false or null"
        ))
    })
}

/// `/pattern/flags`
fn regex(cursor: &mut Cursor<'_>) -> Result<Regex, PathFault> {
    cursor.expect("/")?;
    let mut pattern = String::new();
    loop {
        pattern.push_str(cursor.take_while(|c| !matches!(c, '/' | '\\')));
        if cursor.eat("/") {
            break;
        }
        if cursor.eat("\\/") {
            pattern.push('/');
        } else if cursor.eat("\\") {
            pattern.push('\\');
            pattern.extend(cursor.peek());
            cursor.0 = cursor
                .0
                .get(cursor.peek().map_or(0, char::len_utf8)..)
                .unwrap_or_default();
        } else {
            return Err(PathFault("a regular expression ends with \"/\"".into()));
        }
    }
    let flags = cursor.take_while(|c| matches!(c, 'i' | 'm' | 's' | 'x' | 'u'));
    // The whole text must match, as in Java's `matches`.
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .case_insensitive(flags.contains('i'))
        .multi_line(flags.contains('m'))
        .dot_matches_new_line(flags.contains('s'))
        .size_limit(REGEX_BYTES)
        .build()
        .map_err(|error| PathFault(format!("/{pattern}/ is no regular expression: {error}")))
}

impl Filter {
    /// Whether `current` passes.
    pub(super) fn passes<'v>(
        &'v self,
        current: &'v Value,
        walk: &mut Walk<'v>,
    ) -> Result<bool, PathError> {
        match self {
            Self::Or(any) => {
                for filter in any {
                    if filter.passes(current, walk)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::And(all) => {
                for filter in all {
                    if !filter.passes(current, walk)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Not(filter) => filter.passes(current, walk).map(|passes| !passes),
            Self::Exists(operand) => operand.value(current, walk).map(|value| value.is_some()),
            Self::Matches(operand, regex) => {
                let value = operand.value(current, walk)?;
                Ok(value.is_some_and(|v| v.as_str().is_some_and(|text| regex.is_match(text))))
            }
            Self::Compare(left, operator, right) => {
                let (left, right) = (left.value(current, walk)?, right.value(current, walk)?);
                match (left, right) {
                    (Some(left), Some(right)) => Ok(operator.holds(&left, &right)),
                    _ => Ok(matches!(operator, Operator::NotEqual | Operator::NotIn)),
                }
            }
        }
    }
}

impl Operand {
    fn value<'v>(
        &'v self,
        current: &'v Value,
        walk: &mut Walk<'v>,
    ) -> Result<Option<Cow<'v, Value>>, PathError> {
        let (steps, from) = match self {
            Self::Literal(value) => return Ok(Some(Cow::Borrowed(value))),
            Self::Current(steps) => (steps, current),
            Self::Whole(steps) => (steps, walk.root),
        };
        let mut found = walk.steps(steps, from)?;
        Ok(match found.len() {
            0 => None,
            1 => found.pop(),
            _ => Some(Cow::Owned(found.into_iter().map(Cow::into_owned).collect())),
        })
    }
}

impl Operator {
    fn holds(self, left: &Value, right: &Value) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = || match (left, right) {
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        };
        let elements = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let has = |list: &Value, value: &Value| {
            let list = list.as_array();
            list.is_some_and(|list| list.iter().any(|element| equal(element, value)))
        };
        match self {
            Self::Equal => equal(left, right),
            Self::NotEqual => !equal(left, right),
            Self::Less => order() == Some(Less),
            Self::LessOrEqual => matches!(order(), Some(Less | Equal)),
            Self::Greater => order() == Some(Greater),
            Self::GreaterOrEqual => matches!(order(), Some(Greater | Equal)),
            Self::In => has(right, left),
            Self::NotIn => !has(right, left),
            Self::Contains => match (left, right) {
                (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
                _ => has(left, right),
            },
            Self::SubsetOf => elements(left).iter().all(|e| has(right, e)),
            Self::AnyOf => elements(left).iter().any(|e| has(right, e)),
            Self::NoneOf => !elements(left).iter().any(|e| has(right, e)),
            Self::Size => size(left).is_some() && size(left) == right.as_u64(),
            Self::Empty => size(left).is_some_and(|size| right == &Value::Bool(size == 0)),
        }
    }
}

fn size(value: &Value) -> Option<u64> {
    let size = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(elements) => elements.len(),
        _ => return None,
    };
    Some(size as u64)
}
