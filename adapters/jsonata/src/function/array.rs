//! Arrays.

use hashbrown::HashMap;

use crate::error::{Error, Result};
use crate::eval::{Call, like};
use crate::signature::Arguments;
use crate::value::{Value, compare};

use super::Native;

pub(super) static FUNCTIONS: [Native; 6] = [
    Native::new("append", "<xx:a>", 2, append),
    Native::new("reverse", "<a:a>", 1, reverse),
    Native::new("shuffle", "<a:a>", 1, shuffle),
    Native::new("distinct", "<x:x>", 1, distinct),
    Native::new("zip", "<a+>", 0, zip),
    Native::new("sort", "<af?:a>", 2, sort),
];

fn append<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (first, second) = (call.argument(0), call.argument(1));
    if first.is_undefined() {
        return Ok(second);
    }
    if second.is_undefined() {
        return Ok(first);
    }
    let mut items = Vec::new();
    for value in [first, second] {
        match value.as_array() {
            Some(elements) => items.extend(elements.iter()),
            None => items.push(value),
        }
    }
    call.array(items)
}

fn reverse<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    match argument.as_array() {
        Some(items) if items.len() > 1 => call.array(items.iter().rev().collect()),
        _ => Ok(argument),
    }
}

/// The "inside-out" shuffle of Fisher and Yates.
fn shuffle<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let Some(items) = argument.as_array().filter(|items| items.len() > 1) else {
        return Ok(argument);
    };
    let mut shuffled: Vec<Value<'a>> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        shuffled.push(item);
        let other = call.evaluator.random.below(index + 1);
        shuffled.swap(index, other);
    }
    call.array(shuffled)
}

fn distinct<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let Some(items) = argument.as_array().filter(|items| items.len() > 1) else {
        return Ok(argument);
    };
    let mut kept: Vec<Value<'a>> = Vec::new();
    let mut by_hash: HashMap<u64, Vec<usize>> = HashMap::new();
    for item in items.iter() {
        let budget = &mut call.evaluator.budget;
        let same = by_hash.entry(compare::hash(&item, budget)?).or_default();
        let mut known = false;
        for &index in same.iter() {
            known = known || compare::equal(&kept[index], &item, budget)?;
        }
        if !known {
            same.push(kept.len());
            kept.push(item);
        }
    }
    like(&argument, kept)
}

fn zip<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let length = |value: &Value<'a>| value.as_array().map_or(0, |items| items.len());
    let rows = call.arguments.iter().map(length).min().unwrap_or(0);
    call.charge(rows.saturating_mul(call.arguments.len()))?;
    let row = |index: usize| {
        let columns = call.arguments.iter();
        Value::array(
            columns
                .filter_map(|column| column.as_array()?.get(index))
                .collect(),
        )
    };
    let rows: Result<Vec<_>> = (0..rows).map(row).collect();
    call.array(rows?)
}

fn sort<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, comparator) = (call.argument(0), call.argument(1));
    let Some(items) = argument.as_array().filter(|items| items.len() > 1) else {
        return Ok(argument);
    };
    let items: Vec<Value<'a>> = items.iter().collect();
    let order = if comparator.is_undefined() {
        let numbers = items.iter().all(|item| matches!(item, Value::Number(_)));
        if !numbers && !items.iter().all(|item| item.as_str().is_some()) {
            return Err(Error::new("D3070").with("index", 1));
        }
        call.evaluator.merge_sort(items.len(), |_, left, right| {
            Ok(match (&items[left], &items[right]) {
                (Value::Number(left), Value::Number(right)) => left > right,
                (left, right) => {
                    let texts = (left.as_str().unwrap_or(""), right.as_str().unwrap_or(""));
                    compare::order_texts(texts.0, texts.1).is_gt()
                }
            })
        })?
    } else {
        let env = call.env;
        call.evaluator
            .merge_sort(items.len(), |evaluator, left, right| {
                let arguments = Arguments::from_iter([items[left].clone(), items[right].clone()]);
                let answer = evaluator.apply(&comparator, arguments, &Value::Null, env)?;
                Ok(compare::script_truth(&answer))
            })?
    };
    call.array(
        order
            .into_iter()
            .map(|index| items[index].clone())
            .collect(),
    )
}
