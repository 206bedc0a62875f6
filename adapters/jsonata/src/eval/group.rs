//! Objects from pairs of key and value: one for the whole input, with what has the same key put
//! together.

use std::rc::Rc;

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::plan::{Bindings, Group};
use crate::value::{Object, Str, Tuple, Value};

use super::{Env, Evaluator};

/// Keys that the reference implementation keeps for itself.
const RESERVED: [&str; 2] = ["_jsonata_lambda", "_jsonata_function"];

/// What has the same key: the pair that gave it, and for what.
struct Grouped<'a, T> {
    key: Str<'a>,
    pair: usize,
    items: SmallVec<[T; 1]>,
}

/// The groups, in the order in which their keys came.
struct Groups<'a, T> {
    groups: Vec<Grouped<'a, T>>,
    index: HashMap<Str<'a>, usize>,
}

impl<'a, T> Groups<'a, T> {
    fn new() -> Self {
        Self {
            groups: Vec::new(),
            index: HashMap::new(),
        }
    }

    fn add(&mut self, key: Str<'a>, pair: usize, item: T, group: &Group) -> Result<()> {
        match self.index.entry(key) {
            Entry::Vacant(entry) => {
                let key = entry.key().clone();
                entry.insert(self.groups.len());
                self.groups.push(Grouped {
                    key,
                    pair,
                    items: SmallVec::from_buf([item]),
                });
                Ok(())
            }
            Entry::Occupied(entry) => {
                let known = &mut self.groups[*entry.get()];
                if known.pair != pair {
                    return Err(twice(entry.key(), group));
                }
                known.items.push(item);
                Ok(())
            }
        }
    }
}

impl<'a> Evaluator<'a> {
    pub(super) fn group(
        &mut self,
        group: &'a Group,
        input: Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let items = input.as_array();
        let count = items.map_or(1, |items| items.len());
        if count <= 1 {
            let only = match items {
                Some(items) => items.get(0).unwrap_or(Value::Undefined),
                None => input.clone(),
            };
            return self.object(group, &only, env);
        }
        let mut groups = Groups::new();
        for index in 0..count {
            let item = items
                .and_then(|items| items.get(index))
                .unwrap_or(Value::Undefined);
            for (pair, (key, _)) in group.pairs.iter().enumerate() {
                let key = self.eval(key, &item, env)?;
                if let Some(key) = key_of(&key, group)? {
                    groups.add(key, pair, item.clone(), group)?;
                }
            }
        }
        let mut object = Object::with_capacity(groups.groups.len());
        for Grouped { key, pair, items } in groups.groups {
            let context = self.together(items)?;
            let value = self.eval(&group.pairs[pair].1, &context, env)?;
            if !value.is_undefined() {
                object.insert(key, value)?;
            }
        }
        Ok(Value::Object(Rc::new(object)))
    }

    /// The object for a single value: nothing is to be put together.
    fn object(&mut self, group: &'a Group, input: &Value<'a>, env: Env) -> Result<Value<'a>> {
        let mut keys: SmallVec<[Option<Str<'a>>; 8]> = SmallVec::with_capacity(group.pairs.len());
        for (key, _) in &group.pairs {
            let key = self.eval(key, input, env)?;
            keys.push(key_of(&key, group)?);
        }
        self.budget.charge(keys.len())?;
        if let Some(key) = first_repeated(&keys) {
            return Err(twice(key, group));
        }
        let mut object = Object::with_capacity(keys.len());
        for (key, (_, value)) in keys.into_iter().zip(&group.pairs) {
            let Some(key) = key else { continue };
            let value = self.eval(value, input, env)?;
            if !value.is_undefined() {
                object.insert(key, value)?;
            }
        }
        Ok(Value::Object(Rc::new(object)))
    }

    /// Groups what a path with bindings gives.
    pub(super) fn group_tuples(
        &mut self,
        group: &'a Group,
        bindings: &'a Bindings,
        tuples: Vec<Tuple<'a>>,
        env: Env,
    ) -> Result<Value<'a>> {
        let mut groups = Groups::new();
        for tuple in tuples {
            for (pair, (key, _)) in group.pairs.iter().enumerate() {
                let key = self.with_tuple(bindings, &tuple, env, |evaluator, context, inner| {
                    evaluator.eval(key, context, inner)
                })?;
                if let Some(key) = key_of(&key, group)? {
                    groups.add(key, pair, tuple.clone(), group)?;
                }
            }
        }
        let mut object = Object::with_capacity(groups.groups.len());
        for Grouped { key, pair, items } in groups.groups {
            let tuple = self.reduce(items)?;
            let value = self.with_tuple(bindings, &tuple, env, |evaluator, context, inner| {
                evaluator.eval(&group.pairs[pair].1, context, inner)
            })?;
            if !value.is_undefined() {
                object.insert(key, value)?;
            }
        }
        Ok(Value::Object(Rc::new(object)))
    }

    /// One tuple of many: each name is bound to all that it was bound to.
    fn reduce(&mut self, mut tuples: SmallVec<[Tuple<'a>; 1]>) -> Result<Tuple<'a>> {
        if tuples.len() == 1 {
            return Ok(tuples.pop().unwrap_or_default());
        }
        let width = tuples.first().map_or(0, Vec::len);
        let mut reduced = Vec::with_capacity(width);
        for slot in 0..width {
            let values: SmallVec<[Value<'a>; 1]> = tuples
                .iter()
                .filter_map(|tuple| tuple[slot].clone())
                .collect();
            reduced.push(if values.is_empty() {
                None
            } else {
                Some(self.together(values)?)
            });
        }
        Ok(reduced)
    }

    /// One value as it is; of more, an array of what they are and hold.
    fn together(&mut self, mut items: SmallVec<[Value<'a>; 1]>) -> Result<Value<'a>> {
        if items.len() == 1 {
            return Ok(items.pop().unwrap_or(Value::Undefined));
        }
        let mut all = Vec::with_capacity(items.len());
        for item in items {
            match item.as_array() {
                Some(elements) => {
                    self.budget.extend(all.len(), elements.len())?;
                    all.extend(elements.iter());
                }
                None if item.is_undefined() => {}
                None => all.push(item),
            }
        }
        Value::array(all)
    }
}

/// A key that is there before. A few keys are compared with each other, many by their hashes.
fn first_repeated<'k>(keys: &'k [Option<Str<'_>>]) -> Option<&'k str> {
    let given = || keys.iter().flatten().map(|key| &**key);
    if keys.len() <= 16 {
        return given()
            .enumerate()
            .find(|(at, key)| given().take(*at).any(|k| k == *key))
            .map(|(_, key)| key);
    }
    let mut seen = HashSet::with_capacity(keys.len());
    given().find(|key| !seen.insert(*key))
}

fn twice(key: &str, group: &Group) -> Error {
    Error::new("D1009").at(group.position).with("value", key)
}

/// The key, if there is one: a text.
fn key_of<'a>(key: &Value<'a>, group: &Group) -> Result<Option<Str<'a>>> {
    match key.as_key() {
        Some(key) if RESERVED.contains(&&*key) => {
            Err(Error::new("D1013").at(group.position).with("value", &*key))
        }
        Some(key) => Ok(Some(key)),
        None if key.is_undefined() => Ok(None),
        None => Err(Error::new("T1003")
            .at(group.position)
            .with("value", key.shown())),
    }
}
