//! Objects that the evaluation makes; their keys keep the order in which they came.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;

use hashbrown::HashMap;

use crate::error::Result;

use super::{Value, deeper};

/// Objects over this size have an index.
const SCANNED: usize = 12;

/// A text that is borrowed or shared.
#[derive(Clone, Debug)]
pub(crate) enum Str<'a> {
    Text(&'a str),
    Shared(Rc<str>),
}

impl Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl Borrow<str> for Str<'_> {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for Str<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Str<'_> {}

impl Hash for Str<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<'a> From<Str<'a>> for Value<'a> {
    fn from(text: Str<'a>) -> Self {
        match text {
            Str::Text(text) => Self::Text(text),
            Str::Shared(text) => Self::String(text),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Object<'a> {
    entries: Vec<(Str<'a>, Value<'a>)>,
    /// Where each key is, for an object that is large.
    index: Option<HashMap<Str<'a>, usize>>,
    depth: u16,
}

impl<'a> Object<'a> {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            entries: Vec::with_capacity(capacity),
            ..Self::default()
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn depth(&self) -> u16 {
        self.depth.max(1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Str<'a>, Value<'a>)> {
        self.entries.iter()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.position(key).map(|at| &self.entries[at].1)
    }

    fn position(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.entries.iter().position(|(name, _)| &**name == key),
        }
    }

    /// Binds `key`; one that is there keeps its place.
    pub(crate) fn insert(&mut self, key: Str<'a>, value: Value<'a>) -> Result<()> {
        self.depth = self.depth.max(deeper(value.depth())?);
        match self.position(&key) {
            Some(at) => self.entries[at].1 = value,
            None => {
                if let Some(index) = &mut self.index {
                    index.insert(key.clone(), self.entries.len());
                }
                self.entries.push((key, value));
                if self.index.is_none() && self.entries.len() > SCANNED {
                    self.build_index();
                }
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(at) = self.position(key) {
            self.entries.remove(at);
            if self.index.take().is_some() {
                self.build_index();
            }
        }
    }

    fn build_index(&mut self) {
        let keys = self.entries.iter().enumerate();
        self.index = Some(keys.map(|(at, (key, _))| (key.clone(), at)).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_objects_behave_as_small_ones() {
        let mut object = Object::default();
        for n in 0..40 {
            let key = Str::Shared(format!("k{}", n % 20).into());
            object.insert(key, Value::Number(f64::from(n))).unwrap();
        }
        assert_eq!(object.len(), 20);
        assert!(matches!(object.get("k3"), Some(Value::Number(n)) if *n == 23.0));
        object.remove("k3");
        assert!(object.get("k3").is_none());
        assert!(matches!(object.get("k19"), Some(Value::Number(n)) if *n == 39.0));
        assert_eq!(&*object.iter().nth(3).unwrap().0, "k4");
    }
}
