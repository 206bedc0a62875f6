//! The values between two steps of a path.

use std::rc::Rc;

use crate::budget::Budget;
use crate::error::Result;
use crate::value::{Array, ArrayRef, Flags, Value};

/// The values that a step gives to the next.
#[derive(Debug)]
pub(super) enum Sequence<'a> {
    One(Value<'a>),
    Many(Vec<Value<'a>>),
    /// The elements of an array, which as the result of a path is the array itself.
    Array(Value<'a>),
}

impl<'a> Sequence<'a> {
    /// What a step gives that is written out: an array, or a block that may give anything.
    pub(super) fn written(value: Value<'a>) -> Self {
        match value {
            Value::Undefined => Self::Many(Vec::new()),
            value if value.as_array().is_some() => Self::Array(value),
            value => Self::One(value),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(items) => items.len(),
            Self::Array(array) => array.as_array().map_or(0, |items| items.len()),
        }
    }

    pub(super) fn get(&self, index: usize) -> Value<'a> {
        let item = match self {
            Self::One(item) => Some(item.clone()),
            Self::Many(items) => items.get(index).cloned(),
            Self::Array(array) => array.as_array().and_then(|items| items.get(index)),
        };
        item.unwrap_or(Value::Undefined)
    }

    /// The values, to be looked at.
    pub(super) fn items(&self) -> ArrayRef<'_, 'a> {
        match self {
            Self::One(item) => ArrayRef::Owned(std::slice::from_ref(item)),
            Self::Many(items) => ArrayRef::Owned(items),
            Self::Array(array) => array.as_array().unwrap_or(ArrayRef::Owned(&[])),
        }
    }

    /// As a value that is a sequence, also with one element.
    pub(super) fn into_array(self) -> Result<Value<'a>> {
        match self {
            Self::One(item) => Value::sequence(vec![item]),
            Self::Many(items) => Value::sequence(items),
            Self::Array(array) => Ok(array),
        }
    }

    /// What a path that ends with these values gives; `keep` where one value stays a sequence, and
    /// `wrap` where a single array that was constructed becomes one.
    pub(super) fn into_result(self, keep: bool, wrap: bool) -> Result<Value<'a>> {
        match self {
            Self::One(item) if keep => keep_one(vec![item]),
            Self::One(item) => Ok(item),
            Self::Many(items) if keep && !items.is_empty() => keep_one(items),
            Self::Many(items) => Value::of_sequence(items),
            Self::Array(array) if keep => match array {
                Value::Array(items, flags) if flags.has(Flags::SEQUENCE) => {
                    Ok(Value::Array(items, flags.and(Flags::KEEP)))
                }
                array if wrap && array.is_constructed() => keep_one(vec![array]),
                array => Ok(array),
            },
            Self::Array(array) => Ok(array),
        }
    }
}

fn keep_one(items: Vec<Value<'_>>) -> Result<Value<'_>> {
    Ok(Value::Array(
        Rc::new(Array::new(items)?),
        Flags::SEQUENCE.and(Flags::KEEP),
    ))
}

/// Puts the results of a step for one value after the other into one sequence. Arrays are
/// flattened, except those that the step constructs.
#[derive(Debug, Default)]
pub(super) struct Flattener<'a> {
    /// The only result so far.
    first: Option<Value<'a>>,
    items: Vec<Value<'a>>,
    more: bool,
}

impl<'a> Flattener<'a> {
    #[inline]
    pub(super) fn push(&mut self, value: Value<'a>, budget: &mut Budget) -> Result<()> {
        if value.is_undefined() {
            return Ok(());
        }
        if !self.more && self.first.is_none() {
            self.first = Some(value);
            return Ok(());
        }
        if let Some(first) = self.first.take() {
            self.more = true;
            self.add(first, budget)?;
        }
        self.add(value, budget)
    }

    #[inline]
    fn add(&mut self, value: Value<'a>, budget: &mut Budget) -> Result<()> {
        if value.is_constructed() {
            self.items.push(value);
            return Ok(());
        }
        match value.as_array() {
            Some(elements) => {
                budget.extend(self.items.len(), elements.len())?;
                self.items.extend(elements.iter());
            }
            None => self.items.push(value),
        }
        Ok(())
    }

    /// The sequence; the `last` step of a path gives a single array as it is.
    pub(super) fn finish(self, last: bool) -> Sequence<'a> {
        let Some(first) = self.first else {
            return Sequence::Many(self.items);
        };
        if first.as_array().is_none() || first.is_constructed() && !last {
            return Sequence::One(first);
        }
        match first {
            Value::Array(array, flags) if flags.has(Flags::SEQUENCE) => {
                Sequence::Array(Value::Array(array, Flags::SEQUENCE))
            }
            array => Sequence::Array(array),
        }
    }
}
