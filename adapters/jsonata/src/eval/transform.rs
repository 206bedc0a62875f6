//! `|pattern|update, delete|`: a copy of an object with changes where a pattern matches.
//!
//! The copy is made of objects of its own, so that those the pattern finds can be told apart. What
//! changes is noted by object, and put in place at the end.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::LazyLock;

use crate::error::{Error, Result};
use crate::plan::Transform;
use crate::signature::{Arguments, Signature};
use crate::stack::with_stack;
use crate::value::{Object, TransformClosure, Value, number};

use super::{Env, Evaluator};

static SIGNATURE: LazyLock<Option<Signature>> = LazyLock::new(|| Signature::parse("<(oa):o>").ok());

/// What became of each object that was found, by its address in the copy.
type Changes<'a> = HashMap<usize, Object<'a>>;

fn address(object: &Rc<Object<'_>>) -> usize {
    Rc::as_ptr(object).addr()
}

impl<'a> Evaluator<'a> {
    pub(super) fn transform(
        &mut self,
        closure: &TransformClosure<'a>,
        arguments: Arguments<'a>,
        input: &Value<'a>,
    ) -> Result<Value<'a>> {
        let arguments = match &*SIGNATURE {
            Some(signature) => signature.apply(arguments, input)?,
            None => arguments,
        };
        let Some(value) = arguments
            .into_iter()
            .next()
            .filter(|value| !value.is_undefined())
        else {
            return Ok(Value::Undefined);
        };
        let transform = closure.transform;
        let base = self.stack.len();
        let outer = Env {
            base,
            frame: closure.frame,
        };
        let copy = match self.variable(&transform.clone, outer) {
            Value::Native(_) => self.copy(&value, true)?,
            function if function.is_function() => {
                let arguments = Arguments::from_iter([value]);
                let value = self.apply(&function, arguments, &Value::Null, outer)?;
                self.copy(&value, true)?
            }
            _ => return Err(Error::new("T2013").at(closure.position)),
        };
        self.stack.resize(base + transform.stack, None);
        let inner = self.enter(&transform.scope, outer);
        let changed = self.change(transform, &copy, inner)?;
        self.exit(&transform.scope, inner);
        self.stack.truncate(base);
        Ok(changed)
    }

    fn change(
        &mut self,
        transform: &'a Transform,
        copy: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let found = self.eval(&transform.pattern, copy, env)?;
        let found: Vec<Value<'a>> = match found.as_array() {
            Some(items) => items.iter().collect(),
            None if found.is_undefined() => Vec::new(),
            None => vec![found],
        };
        let mut changes = Changes::new();
        for item in &found {
            let now = self.put_in_place(item, &changes)?;
            let update = self.eval(&transform.update, &now, env)?;
            let entries = match update.as_object() {
                Some(entries) => entries.iter().collect(),
                None if update.is_undefined() => Vec::new(),
                None => {
                    let error = transform.update.error("T2011");
                    return Err(error.with("value", update.shown()));
                }
            };
            if let Value::Object(object) = item {
                let target = changes
                    .entry(address(object))
                    .or_insert_with(|| (**object).clone());
                for (key, value) in entries {
                    target.insert(key, self.copy(&value, false)?)?;
                }
            }
            if let Some(delete) = &transform.delete {
                let now = self.put_in_place(item, &changes)?;
                let keys = self.eval(delete, &now, env)?;
                let keys = keys_to_delete(&keys)
                    .ok_or_else(|| delete.error("T2012").with("value", keys.shown()))?;
                if let Value::Object(object) = item
                    && let Some(target) = changes.get_mut(&address(object))
                {
                    keys.iter().for_each(|key| target.remove(key));
                }
            }
        }
        self.put_in_place(copy, &changes)
    }

    /// A copy made of new arrays and objects. One of the input is, as in the reference, what is
    /// read back from its text: numbers have 15 digits, and functions are empty texts.
    pub(crate) fn copy(&mut self, value: &Value<'a>, through_text: bool) -> Result<Value<'a>> {
        self.budget.charge(1)?;
        if let Some(items) = value.as_array() {
            let items: Result<Vec<_>> = items
                .iter()
                .map(|item| with_stack(|| self.copy(&item, through_text)))
                .collect();
            return Value::array(items?);
        }
        if let Some(entries) = value.as_object() {
            let mut object = Object::with_capacity(entries.len());
            for (key, value) in entries.iter() {
                object.insert(key, with_stack(|| self.copy(&value, through_text))?)?;
            }
            return Ok(Value::Object(Rc::new(object)));
        }
        Ok(match value {
            Value::Number(number) if through_text => Value::Number(number::to_15_digits(*number)),
            value if through_text && value.is_function() => Value::Text(""),
            value => value.clone(),
        })
    }

    /// The value with the changes to what is inside.
    fn put_in_place(&mut self, value: &Value<'a>, changes: &Changes<'a>) -> Result<Value<'a>> {
        if changes.is_empty() {
            return Ok(value.clone());
        }
        self.budget.charge(1)?;
        match value {
            Value::Array(array, flags) => {
                let items = array.items.iter();
                let items: Result<Vec<_>> = items
                    .map(|item| with_stack(|| self.put_in_place(item, changes)))
                    .collect();
                let array = crate::value::Array::new(items?)?;
                Ok(Value::Array(Rc::new(array), *flags))
            }
            Value::Object(object) => {
                let now = changes.get(&address(object)).unwrap_or(object);
                let mut placed = Object::with_capacity(now.len());
                for (key, value) in now.iter() {
                    let value = with_stack(|| self.put_in_place(value, changes))?;
                    placed.insert(key.clone(), value)?;
                }
                Ok(Value::Object(Rc::new(placed)))
            }
            value => Ok(value.clone()),
        }
    }
}

/// The texts that name keys; `None` where something else does.
fn keys_to_delete(keys: &Value<'_>) -> Option<Vec<String>> {
    match keys {
        Value::Undefined => Some(Vec::new()),
        keys => match keys.as_array() {
            Some(items) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect(),
            None => Some(vec![keys.as_str()?.to_owned()]),
        },
    }
}
