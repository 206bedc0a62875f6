//! What an evaluation computes with: input that is borrowed, and what was made of it, shared.
//!
//! Cloning a value copies at most two words and bumps a count; no JSON is copied until the result
//! leaves the evaluation.

pub(crate) mod compare;
mod function;
pub(crate) mod json;
pub(crate) mod number;
mod object;
pub(crate) mod text;
mod view;

use std::rc::Rc;

use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::function::Native;

pub(crate) use function::{Closure, Function, PartialCall, TransformClosure};
pub(crate) use object::{Object, Str};
pub(crate) use view::{ArrayRef, ObjectRef};

/// An object of the input.
pub(crate) type JsonObject = serde_json::Map<String, Json>;

/// How deep what an evaluation makes may be nested: dropping it recurses.
pub(crate) const MAX_DEPTH: u16 = 500;

/// The tag takes a word: with a smaller one the compiler copies values in pieces that the processor
/// cannot forward, which costs a third of the time of an evaluation.
#[derive(Clone, Debug)]
#[repr(u64)]
pub(crate) enum Value<'a> {
    /// No value.
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    /// A text of the input or of the expression.
    Text(&'a str),
    String(Rc<str>),
    JsonArray(&'a Vec<Json>),
    Array(Rc<Array<'a>>, Flags),
    JsonObject(&'a JsonObject),
    Object(Rc<Object<'a>>),
    Native(&'static Native),
    Function(Rc<Function<'a>>),
    /// Bindings on their way through the steps of a path.
    Tuples(Rc<TupleStream<'a>>),
}

/// What distinguishes an array that the evaluation made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    /// A sequence: one element of it stands for the element itself, none for no value.
    pub(crate) const SEQUENCE: Self = Self(1);
    /// A sequence that stays one, with one element too.
    pub(crate) const KEEP: Self = Self(2);
    /// Made by an array constructor that is a step: paths do not flatten it.
    pub(crate) const CONSTRUCTED: Self = Self(4);
    /// Wraps an input that is itself an array.
    pub(crate) const OUTER: Self = Self(8);

    pub(crate) fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) fn and(self, flag: Self) -> Self {
        Self(self.0 | flag.0)
    }
}

/// The elements of an array, and how deep they are nested.
#[derive(Debug, Default)]
pub(crate) struct Array<'a> {
    pub(crate) items: Vec<Value<'a>>,
    depth: u16,
}

impl<'a> Array<'a> {
    pub(crate) fn new(items: Vec<Value<'a>>) -> Result<Self> {
        let depth = deeper(items.iter().map(Value::depth).max().unwrap_or(0))?;
        Ok(Self { items, depth })
    }

    pub(crate) fn of_one(item: Value<'a>) -> Result<Self> {
        Self::new(vec![item])
    }
}

/// One level more, if there may be one.
pub(crate) fn deeper(depth: u16) -> Result<u16> {
    if depth >= MAX_DEPTH {
        return Err(Error::new("D1015").with("value", MAX_DEPTH));
    }
    Ok(depth + 1)
}

/// Bindings of one element of a path each: the context first, then the path's names in order.
pub(crate) type Tuple<'a> = Vec<Option<Value<'a>>>;

#[derive(Debug)]
pub(crate) struct TupleStream<'a> {
    /// The names behind the context.
    pub(crate) names: &'a [Box<str>],
    pub(crate) tuples: Vec<Tuple<'a>>,
}

impl<'a> From<&'a Json> for Value<'a> {
    #[inline]
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::Text(text),
            Json::Array(items) => Self::JsonArray(items),
            Json::Object(entries) => Self::JsonObject(entries),
        }
    }
}

impl<'a> Value<'a> {
    /// An array that is not a sequence.
    pub(crate) fn array(items: Vec<Self>) -> Result<Self> {
        Ok(Self::Array(Rc::new(Array::new(items)?), Flags::NONE))
    }

    /// A sequence, left as it is.
    pub(crate) fn sequence(items: Vec<Self>) -> Result<Self> {
        Ok(Self::Array(Rc::new(Array::new(items)?), Flags::SEQUENCE))
    }

    /// What a sequence of these stands for.
    pub(crate) fn of_sequence(mut items: Vec<Self>) -> Result<Self> {
        match items.len() {
            0 => Ok(Self::Undefined),
            1 => Ok(items.pop().unwrap_or(Self::Undefined)),
            _ => Self::sequence(items),
        }
    }

    pub(crate) fn string(text: impl Into<Rc<str>>) -> Self {
        Self::String(text.into())
    }

    #[inline]
    pub(crate) fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined)
    }

    pub(crate) fn is_function(&self) -> bool {
        matches!(self, Self::Native(_) | Self::Function(_))
    }

    #[inline]
    pub(crate) fn is_sequence(&self) -> bool {
        matches!(self, Self::Array(_, flags) if flags.has(Flags::SEQUENCE))
    }

    #[inline]
    pub(crate) fn is_constructed(&self) -> bool {
        matches!(self, Self::Array(_, flags) if flags.has(Flags::CONSTRUCTED))
    }

    /// The text, if it is one.
    #[inline]
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text, as a key of an object.
    #[inline]
    pub(crate) fn as_key(&self) -> Option<Str<'a>> {
        match self {
            Self::Text(text) => Some(Str::Text(text)),
            Self::String(text) => Some(Str::Shared(Rc::clone(text))),
            _ => None,
        }
    }

    /// The number; an error if it is infinite.
    #[inline]
    pub(crate) fn as_number(&self) -> Result<Option<f64>> {
        match self {
            Self::Number(number) if number.is_nan() => Ok(None),
            Self::Number(number) if number.is_infinite() => {
                Err(Error::new("D1001").with("value", number::to_text(*number)))
            }
            Self::Number(number) => Ok(Some(*number)),
            _ => Ok(None),
        }
    }

    #[inline]
    pub(crate) fn as_array(&self) -> Option<ArrayRef<'_, 'a>> {
        match self {
            Self::JsonArray(items) => Some(ArrayRef::Json(items)),
            Self::Array(array, _) => Some(ArrayRef::Owned(&array.items)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn as_object(&self) -> Option<ObjectRef<'_, 'a>> {
        match self {
            Self::JsonObject(entries) => Some(ObjectRef::Json(entries)),
            Self::Object(object) => Some(ObjectRef::Owned(object)),
            _ => None,
        }
    }

    /// Without the wrapping that an input which is an array has.
    pub(crate) fn unwrapped(&self) -> Self {
        match self {
            Self::Array(array, flags) if flags.has(Flags::OUTER) => {
                array.items.first().cloned().unwrap_or(Self::Undefined)
            }
            other => other.clone(),
        }
    }

    /// How deep what was made is nested; what is borrowed counts as flat.
    #[inline]
    pub(crate) fn depth(&self) -> u16 {
        match self {
            Self::Array(array, _) => array.depth,
            Self::Object(object) => object.depth(),
            Self::Function(function) => function.depth(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_three_words() {
        assert_eq!(size_of::<Value<'_>>(), 24);
        assert_eq!(size_of::<Option<Value<'_>>>(), 24);
        assert_eq!(size_of::<Result<Value<'_>>>(), 24);
    }

    #[test]
    fn nesting_is_bounded() {
        let mut value = Value::Null;
        for _ in 0..MAX_DEPTH {
            value = Value::array(vec![value]).unwrap();
        }
        assert_eq!(Value::array(vec![value]).unwrap_err().code(), "D1015");
    }
}
