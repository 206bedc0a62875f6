//! The operators between two operands.

use crate::ast::Operator;
use crate::error::{Error, Result};
use crate::plan::Node;
use crate::value::{Value, compare, text};

use super::{Env, Evaluator};

/// The most elements that a range may have, whatever the limits say.
const LONGEST_RANGE: f64 = 1e7;

impl<'a> Evaluator<'a> {
    pub(super) fn binary(
        &mut self,
        node: &'a Node,
        operator: Operator,
        operands: &'a (Node, Node),
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let left = self.eval(&operands.0, input, env)?;
        let named = |error: Error| error.at(node.position()).token(operator.text());
        if let Operator::And | Operator::Or = operator {
            let left = self.truth(&left).map_err(named)?;
            if left == (operator == Operator::Or) {
                return Ok(Value::Bool(left));
            }
            let right = self.eval(&operands.1, input, env)?;
            return self.truth(&right).map(Value::Bool).map_err(named);
        }
        let right = self.eval(&operands.1, input, env)?;
        self.operate(operator, &left, &right).map_err(named)
    }

    fn operate(
        &mut self,
        operator: Operator,
        left: &Value<'a>,
        right: &Value<'a>,
    ) -> Result<Value<'a>> {
        match operator {
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulo => arithmetic(operator, left, right),
            Operator::Equal | Operator::NotEqual => {
                if left.is_undefined() || right.is_undefined() {
                    return Ok(Value::Bool(false));
                }
                let equal = compare::equal(left, right, &mut self.budget)?;
                Ok(Value::Bool(equal == (operator == Operator::Equal)))
            }
            Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
                comparison(operator, left, right)
            }
            Operator::Concat => self.concat(left, right),
            Operator::Range => self.range(left, right),
            Operator::In => self.includes(left, right),
            // Handled before: they do not always evaluate their right side, or are no operation.
            Operator::And | Operator::Or | Operator::Dot | Operator::Apply => Ok(Value::Undefined),
        }
    }

    pub(super) fn negate(
        &mut self,
        node: &'a Node,
        operand: &'a Node,
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let value = self.eval(operand, input, env)?;
        if value.is_undefined() {
            return Ok(value);
        }
        match value.as_number()? {
            Some(number) => Ok(Value::Number(-number)),
            None => Err(node.error("D1002").token("-").with("value", value.shown())),
        }
    }

    pub(crate) fn concat(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>> {
        let left = text::stringify(left, false, &mut self.budget)?;
        let right = text::stringify(right, false, &mut self.budget)?;
        let (left, right) = (
            left.as_deref().unwrap_or(""),
            right.as_deref().unwrap_or(""),
        );
        self.budget.text(left.len() + right.len())?;
        let mut whole = String::with_capacity(left.len() + right.len());
        whole.push_str(left);
        whole.push_str(right);
        Ok(Value::string(whole))
    }

    fn range(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>> {
        let first = integer(left, "T2003")?;
        let last = integer(right, "T2004")?;
        let (Some(first), Some(last)) = (first, last) else {
            return Ok(Value::Undefined);
        };
        if first > last {
            return Ok(Value::Undefined);
        }
        let size = last - first + 1.0;
        if size > LONGEST_RANGE {
            return Err(Error::new("D2014").with("value", Value::Number(size).shown()));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked"
        )]
        let count = size as usize;
        self.budget.extend(0, count)?;
        Value::sequence(
            (0..count)
                .map(|at| Value::Number(first + at as f64))
                .collect(),
        )
    }

    fn includes(&mut self, item: &Value<'a>, list: &Value<'a>) -> Result<Value<'a>> {
        if item.is_undefined() || list.is_undefined() {
            return Ok(Value::Bool(false));
        }
        let Some(items) = list.as_array() else {
            return Ok(Value::Bool(compare::identical(item, list)));
        };
        self.budget.charge(items.len())?;
        Ok(Value::Bool(
            items.iter().any(|other| compare::identical(&other, item)),
        ))
    }
}

fn arithmetic<'a>(operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>> {
    let number = |value: &Value<'a>, code| match value.as_number()? {
        None if !value.is_undefined() => Err(Error::new(code).with("value", value.shown())),
        number => Ok(number),
    };
    let (left, right) = (number(left, "T2001")?, number(right, "T2002")?);
    let (Some(left), Some(right)) = (left, right) else {
        return Ok(Value::Undefined);
    };
    Ok(Value::Number(match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        _ => left % right,
    }))
}

fn comparison<'a>(operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>> {
    let ordering = match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.partial_cmp(right),
        _ => match (left.as_str(), right.as_str()) {
            (Some(left), Some(right)) => Some(compare::order_texts(left, right)),
            _ => return incomparable(left, right),
        },
    };
    Ok(Value::Bool(ordering.is_some_and(
        |ordering| match operator {
            Operator::Less => ordering.is_lt(),
            Operator::LessEqual => ordering.is_le(),
            Operator::Greater => ordering.is_gt(),
            _ => ordering.is_ge(),
        },
    )))
}

fn incomparable<'a>(left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>> {
    let compares =
        |value: &Value<'a>| matches!(value, Value::Number(_)) || value.as_str().is_some();
    if [left, right]
        .into_iter()
        .any(|value| !compares(value) && !value.is_undefined())
    {
        // The reference names the left side, even where it is undefined.
        let named = if compares(left) { right } else { left };
        return Err(match named {
            Value::Undefined => Error::new("T2010"),
            named => Error::new("T2010").with("value", named.shown()),
        });
    }
    if left.is_undefined() || right.is_undefined() {
        return Ok(Value::Undefined);
    }
    Err(Error::new("T2009")
        .with("value", left.shown())
        .with("value2", right.shown()))
}

fn integer(value: &Value<'_>, code: &'static str) -> Result<Option<f64>> {
    match value {
        Value::Undefined => Ok(None),
        Value::Number(number) if number.fract() == 0.0 => Ok(Some(*number)),
        _ => Err(Error::new(code).with("value", value.shown())),
    }
}
