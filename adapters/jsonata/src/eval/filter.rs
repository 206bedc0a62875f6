//! Predicates: which values stay.

use crate::error::Result;
use crate::plan::{Bindings, Kind, Node};
use crate::value::{Tuple, Value};

use super::{Env, Evaluator};

/// What a predicate says of the value that it was evaluated for.
enum Verdict {
    Keep(bool),
    /// The value at this place stays.
    At(f64),
    /// Those at these places stay.
    AtAny(Vec<f64>),
}

impl<'a> Evaluator<'a> {
    /// A sequence of the values that `predicate` keeps.
    pub(super) fn filter(
        &mut self,
        predicate: &'a Node,
        value: Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let items = value.as_array();
        let count = items.map_or(1, |items| items.len());
        let item = |index: usize| match items {
            Some(items) => items.get(index),
            None if index == 0 => Some(value.clone()),
            None => None,
        };
        if let Kind::Number(number) = predicate.kind {
            return match place(number, count).and_then(item) {
                None | Some(Value::Undefined) => Value::sequence(Vec::new()),
                Some(found) if found.as_array().is_some() => Ok(found),
                Some(found) => Value::sequence(vec![found]),
            };
        }
        let mut kept = Vec::new();
        for index in 0..count {
            let Some(item) = item(index) else { continue };
            let answer = self.eval(predicate, &item, env)?;
            let times = self.keeps(&answer, index, count)?;
            if !item.is_undefined() {
                self.budget.extend(kept.len(), times)?;
                kept.extend(std::iter::repeat_n(item, times));
            }
        }
        Value::sequence(kept)
    }

    /// The tuples that `predicate` keeps.
    pub(super) fn filter_tuples(
        &mut self,
        predicate: &'a Node,
        bindings: &'a Bindings,
        tuples: Vec<Tuple<'a>>,
        env: Env,
    ) -> Result<Vec<Tuple<'a>>> {
        let count = tuples.len();
        if let Kind::Number(number) = predicate.kind {
            let found = place(number, count).and_then(|index| tuples.into_iter().nth(index));
            return Ok(found.into_iter().collect());
        }
        let mut kept = Vec::new();
        for (index, tuple) in tuples.into_iter().enumerate() {
            let answer = self.with_tuple(bindings, &tuple, env, |evaluator, context, inner| {
                evaluator.eval(predicate, context, inner)
            })?;
            let times = self.keeps(&answer, index, count)?;
            self.budget.extend(kept.len(), times)?;
            // The first is the one that was there.
            self.charge_tuples(times.saturating_sub(1), bindings)?;
            kept.extend(std::iter::repeat_n(tuple, times));
        }
        Ok(kept)
    }

    /// How many times the value at `index` of `count` stays.
    fn keeps(&mut self, answer: &Value<'a>, index: usize, count: usize) -> Result<usize> {
        let is_here = |number: &f64| place(*number, count) == Some(index);
        Ok(match self.verdict(answer)? {
            Verdict::Keep(keep) => usize::from(keep),
            Verdict::At(number) => usize::from(is_here(&number)),
            Verdict::AtAny(numbers) => numbers.iter().filter(|number| is_here(number)).count(),
        })
    }

    fn verdict(&mut self, answer: &Value<'a>) -> Result<Verdict> {
        if let Some(number) = answer.as_number()? {
            return Ok(Verdict::At(number));
        }
        if let Some(items) = answer.as_array() {
            self.budget.charge(items.len())?;
            let numbers: Result<Option<Vec<f64>>> =
                items.iter().map(|item| item.as_number()).collect();
            if let Some(numbers) = numbers? {
                return Ok(Verdict::AtAny(numbers));
            }
        }
        Ok(Verdict::Keep(self.truth(answer)?))
    }
}

/// The place that a number names among `count`: rounded down, from the end where it is negative.
fn place(number: f64, count: usize) -> Option<usize> {
    let mut place = number.floor();
    if place < 0.0 {
        place += count as f64;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is in range"
    )]
    (place >= 0.0 && place < count as f64).then_some(place as usize)
}
