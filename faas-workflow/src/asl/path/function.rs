//! The functions that a path can end with.

use serde_json::{Number, Value};

/// A function of the value that a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Length,
    Keys,
    First,
    Last,
    Min,
    Max,
    Sum,
    Avg,
    Stddev,
}

impl Function {
    pub(super) const NAMES: &str = "length, keys, first, last, min, max, sum, avg, stddev";

    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "length" | "size" => Self::Length,
            "keys" => Self::Keys,
            "first" => Self::First,
            "last" => Self::Last,
            "min" => Self::Min,
            "max" => Self::Max,
            "sum" => Self::Sum,
            "avg" => Self::Avg,
            "stddev" => Self::Stddev,
            _ => return None,
        })
    }

    /// Its value, if it has one for `value`.
    pub(super) fn of(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Length, Value::Array(elements)) => Some(elements.len().into()),
            (Self::Length, Value::Object(fields)) => Some(fields.len().into()),
            (Self::Length, Value::String(text)) => Some(text.chars().count().into()),
            (Self::Keys, Value::Object(fields)) => Some(fields.keys().cloned().collect()),
            (Self::First, Value::Array(elements)) => elements.first().cloned(),
            (Self::Last, Value::Array(elements)) => elements.last().cloned(),
            (_, Value::Array(elements)) => {
                let numbers: Option<Vec<f64>> = elements.iter().map(Value::as_f64).collect();
                let number = self.of_numbers(&numbers.filter(|n| !n.is_empty())?)?;
                Number::from_f64(number).map(Value::Number)
            }
            _ => None,
        }
    }

    fn of_numbers(self, numbers: &[f64]) -> Option<f64> {
        let (count, sum) = (numbers.len() as f64, numbers.iter().sum::<f64>());
        let mean = sum / count;
        Some(match self {
            Self::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::Sum => sum,
            Self::Avg => mean,
            Self::Stddev => {
                let squares = numbers.iter().map(|n| (n - mean) * (n - mean));
                (squares.sum::<f64>() / count).sqrt()
            }
            _ => return None,
        })
    }
}
