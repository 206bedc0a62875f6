//! The rules of Choice states, compiled.

use serde_json::Value;

use super::StateIndex;
use crate::asl::path::Path;
use crate::asl::template::{Place, Template};

#[derive(Debug)]
pub(in crate::asl) struct Rule {
    pub(in crate::asl) condition: Condition,
    pub(in crate::asl) next: StateIndex,
    pub(in crate::asl) assign: Option<Template>,
    pub(in crate::asl) output: Option<Template>,
}

#[derive(Debug)]
pub(in crate::asl) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare {
        variable: Path,
        comparison: Comparison,
    },
    /// Of JSONata.
    Expression(Place),
    /// Of JSONata, given.
    Literal(bool),
}

/// What a variable is compared with.
#[derive(Debug)]
pub(in crate::asl) enum Comparison {
    /// `IsNull` and so on, with the answer that is wanted.
    Is(Test, bool),
    With(Operator, Operand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::asl) enum Test {
    Null,
    Present,
    Numeric,
    String,
    Boolean,
    Timestamp,
}

#[derive(Debug)]
pub(in crate::asl) enum Operand {
    Literal(Value),
    Path(Path),
}

/// Of which type the values of a comparison are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::asl) enum Type {
    String,
    Numeric,
    Boolean,
    Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::asl) enum Operator {
    Equals(Type),
    LessThan(Type),
    GreaterThan(Type),
    LessThanEquals(Type),
    GreaterThanEquals(Type),
    /// `StringMatches`: `*` stands for any text.
    Matches,
}

impl Operator {
    /// The operator of a field, without `Path` at its end.
    pub(in crate::asl) fn named(name: &str) -> Option<Self> {
        if name == "StringMatches" {
            return Some(Self::Matches);
        }
        let types = [
            ("String", Type::String),
            ("Numeric", Type::Numeric),
            ("Boolean", Type::Boolean),
            ("Timestamp", Type::Timestamp),
        ];
        let (rest, of) = types
            .iter()
            .find_map(|(text, of)| Some((name.strip_prefix(text)?, *of)))?;
        Some(match rest {
            "Equals" => Self::Equals(of),
            _ if of == Type::Boolean => return None,
            "LessThan" => Self::LessThan(of),
            "GreaterThan" => Self::GreaterThan(of),
            "LessThanEquals" => Self::LessThanEquals(of),
            "GreaterThanEquals" => Self::GreaterThanEquals(of),
            _ => return None,
        })
    }

    pub(in crate::asl) const fn operand_type(self) -> Type {
        match self {
            Self::Equals(of)
            | Self::LessThan(of)
            | Self::GreaterThan(of)
            | Self::LessThanEquals(of)
            | Self::GreaterThanEquals(of) => of,
            Self::Matches => Type::String,
        }
    }
}
