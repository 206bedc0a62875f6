//! Arrays and objects, wherever they live.

use serde_json::Value as Json;

use super::{JsonObject, Object, Str, Value};

/// Objects of the input up to this size are searched from the start: it is cheaper than hashing.
const SCANNED: usize = 8;

#[derive(Clone, Copy)]
pub(crate) enum ArrayRef<'v, 'a> {
    Json(&'a [Json]),
    Owned(&'v [Value<'a>]),
}

impl<'v, 'a> ArrayRef<'v, 'a> {
    #[inline]
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Owned(items) => items.len(),
        }
    }

    #[inline]
    pub(crate) fn get(self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Json(items) => items.get(index).map(Value::from),
            Self::Owned(items) => items.get(index).cloned(),
        }
    }

    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = Value<'a>> + DoubleEndedIterator + 'v
    where
        'a: 'v,
    {
        (0..self.len()).map(move |index| self.get(index).unwrap_or(Value::Undefined))
    }
}

#[derive(Clone, Copy)]
pub(crate) enum ObjectRef<'v, 'a> {
    Json(&'a JsonObject),
    Owned(&'v Object<'a>),
}

impl<'v, 'a> ObjectRef<'v, 'a> {
    #[inline]
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Json(entries) => entries.len(),
            Self::Owned(object) => object.len(),
        }
    }

    #[inline]
    pub(crate) fn get(self, key: &str) -> Option<Value<'a>> {
        match self {
            Self::Json(entries) if entries.len() <= SCANNED => entries
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| Value::from(value)),
            Self::Json(entries) => entries.get(key).map(Value::from),
            Self::Owned(object) => object.get(key).cloned(),
        }
    }

    /// Keys and values, in the object's order.
    pub(crate) fn iter(self) -> Box<dyn Iterator<Item = (Str<'a>, Value<'a>)> + 'v>
    where
        'a: 'v,
    {
        match self {
            Self::Json(entries) => Box::new(
                entries
                    .iter()
                    .map(|(key, value)| (Str::Text(key), Value::from(value))),
            ),
            Self::Owned(object) => Box::new(
                object
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone())),
            ),
        }
    }
}
