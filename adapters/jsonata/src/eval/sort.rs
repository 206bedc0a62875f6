//! The order-by operator, and the merge sort that `$sort` uses, too.

use std::cmp::Ordering;

use crate::error::Result;
use crate::plan::{Bindings, Node, Term};
use crate::value::{Tuple, Value, compare};

use super::{Env, Evaluator};

impl<'a> Evaluator<'a> {
    /// `^(…)` of an array.
    pub(super) fn sort(
        &mut self,
        node: &Node,
        terms: &'a [Term],
        input: Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let Some(items) = input.as_array() else {
            return Ok(input);
        };
        if items.len() < 2 {
            return Ok(input);
        }
        let items: Vec<Value<'a>> = items.iter().collect();
        let order = self.order_by(node, terms, items.len(), |evaluator, term, index| {
            evaluator.eval(&term.key, &items[index], env)
        })?;
        Value::array(
            order
                .into_iter()
                .map(|index| items[index].clone())
                .collect(),
        )
    }

    pub(super) fn sort_tuples(
        &mut self,
        node: &Node,
        terms: &'a [Term],
        bindings: &'a Bindings,
        mut tuples: Vec<Tuple<'a>>,
        env: Env,
    ) -> Result<Vec<Tuple<'a>>> {
        let order = self.order_by(node, terms, tuples.len(), |evaluator, term, index| {
            evaluator.with_tuple(
                bindings,
                &tuples[index],
                env,
                |evaluator, context, inner| evaluator.eval(&term.key, context, inner),
            )
        })?;
        Ok(order
            .into_iter()
            .map(|index| std::mem::take(&mut tuples[index]))
            .collect())
    }

    /// The order of `count` elements by terms, each of which is evaluated at most once for each
    /// element, and only if it is needed.
    fn order_by(
        &mut self,
        node: &Node,
        terms: &'a [Term],
        count: usize,
        mut key: impl FnMut(&mut Self, &'a Term, usize) -> Result<Value<'a>>,
    ) -> Result<Vec<usize>> {
        self.budget.charge(count.saturating_mul(terms.len()))?;
        let mut keys: Vec<Option<Value<'a>>> = vec![None; count * terms.len()];
        self.merge_sort(count, |evaluator, left, right| {
            for (at, term) in terms.iter().enumerate() {
                for index in [left, right] {
                    let known = index * terms.len() + at;
                    if keys[known].is_none() {
                        keys[known] = Some(key(evaluator, term, index)?);
                    }
                }
                let of = |index: usize| {
                    keys[index * terms.len() + at]
                        .as_ref()
                        .unwrap_or(&Value::Undefined)
                };
                match order(node, term, of(left), of(right))? {
                    Ordering::Equal => {}
                    ordering => return Ok(ordering == Ordering::Greater),
                }
            }
            Ok(false)
        })
    }

    /// A stable order of `count` elements, by whether the right one of two is to come first.
    pub(crate) fn merge_sort(
        &mut self,
        count: usize,
        mut swap: impl FnMut(&mut Self, usize, usize) -> Result<bool>,
    ) -> Result<Vec<usize>> {
        let mut order: Vec<usize> = (0..count).collect();
        self.merge_run(&mut order, &mut swap)?;
        Ok(order)
    }

    fn merge_run(
        &mut self,
        run: &mut [usize],
        swap: &mut impl FnMut(&mut Self, usize, usize) -> Result<bool>,
    ) -> Result<()> {
        if run.len() < 2 {
            return Ok(());
        }
        let middle = run.len() / 2;
        self.merge_run(&mut run[..middle], swap)?;
        self.merge_run(&mut run[middle..], swap)?;
        self.budget.charge(run.len())?;
        let mut merged = Vec::with_capacity(run.len());
        let (mut left, mut right) = (0, middle);
        while left < middle && right < run.len() {
            if swap(self, run[left], run[right])? {
                merged.push(run[right]);
                right += 1;
            } else {
                merged.push(run[left]);
                left += 1;
            }
        }
        merged.extend_from_slice(&run[left..middle]);
        merged.extend_from_slice(&run[right..]);
        run.copy_from_slice(&merged);
        Ok(())
    }
}

/// The order of two keys; what has none comes last.
fn order(node: &Node, term: &Term, left: &Value<'_>, right: &Value<'_>) -> Result<Ordering> {
    match (left.is_undefined(), right.is_undefined()) {
        (true, true) => return Ok(Ordering::Equal),
        (true, false) => return Ok(Ordering::Greater),
        (false, true) => return Ok(Ordering::Less),
        (false, false) => {}
    }
    let ordering = match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left.partial_cmp(right).unwrap_or(Ordering::Equal)
        }
        _ => match (left.as_str(), right.as_str()) {
            (Some(left), Some(right)) => compare::order_texts(left, right),
            _ => {
                let sorts = |value: &Value<'_>| {
                    matches!(value, Value::Number(_)) || value.as_str().is_some()
                };
                if sorts(left) && sorts(right) {
                    let error = node.error("T2007").with("value", left.shown());
                    return Err(error.with("value2", right.shown()));
                }
                let wrong = if sorts(left) { right } else { left };
                return Err(node.error("T2008").with("value", wrong.shown()));
            }
        },
    };
    Ok(if term.descending {
        ordering.reverse()
    } else {
        ordering
    })
}
