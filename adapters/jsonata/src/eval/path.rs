//! Paths: each step is evaluated for each value of the step before.

use serde_json::Value as Json;

use crate::error::Result;
use crate::plan::{Kind, Node, Path, Stage};
use crate::stack::with_stack;
use crate::value::{ArrayRef, Flags, ObjectRef, Value};

use super::sequence::{Flattener, Sequence};
use super::{Env, Evaluator};

impl<'a> Evaluator<'a> {
    pub(super) fn path(
        &mut self,
        node: &'a Node,
        path: &'a Path,
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        if let Some(bindings) = &path.bindings {
            return self.binding_path(node, path, bindings, input, env);
        }
        let source = self.source(path, input);
        let sequence = self.steps(&path.steps, source, path.steps.len(), env)?;
        match node
            .extras
            .as_ref()
            .and_then(|extras| extras.group.as_ref())
        {
            Some(group) => {
                let value = sequence.into_result(true, path.keep_singleton)?;
                self.group(group, value, env)
            }
            None => {
                sequence.into_result(path.keep_singleton || node.keep_array, path.keep_singleton)
            }
        }
    }

    /// What the first step is evaluated for: each element of an array, unless the step is a
    /// variable and so does not depend on the context.
    pub(super) fn source(&self, path: &'a Path, input: &Value<'a>) -> Sequence<'a> {
        let absolute = matches!(path.steps[0].kind, Kind::Variable(_) | Kind::Context);
        if input.as_array().is_some() && !absolute {
            Sequence::Array(input.clone())
        } else {
            Sequence::One(input.clone())
        }
    }

    /// Evaluates steps of a path of `whole` steps from its start on.
    pub(super) fn steps(
        &mut self,
        steps: &'a [Node],
        mut sequence: Sequence<'a>,
        whole: usize,
        env: Env,
    ) -> Result<Sequence<'a>> {
        for (index, step) in steps.iter().enumerate() {
            let before = sequence.len();
            sequence = if index == 0 && step.constructed {
                let input = sequence.into_array()?;
                Sequence::written(self.eval(step, &input, env)?)
            } else {
                self.step(step, &sequence, index + 1 == whole, env)?
            };
            if let Some(trace) = &mut self.trace {
                trace.step(step, before, sequence.len());
            }
            if sequence.len() == 0 {
                // An empty array is a value as the last one, and as one that is written out.
                let written = index == 0 && step.constructed;
                let array =
                    (index + 1 == whole || written) && matches!(sequence, Sequence::Array(_));
                return Ok(if array {
                    sequence
                } else {
                    Sequence::Many(Vec::new())
                });
            }
        }
        Ok(sequence)
    }

    fn step(
        &mut self,
        step: &'a Node,
        source: &Sequence<'a>,
        last: bool,
        env: Env,
    ) -> Result<Sequence<'a>> {
        if let Kind::Sort(terms) = &step.kind {
            let input = match source {
                Sequence::Array(array) if source.len() > 1 => array.clone(),
                Sequence::Array(_) => Value::sequence(vec![source.get(0)])?,
                Sequence::One(item) => Value::sequence(vec![item.clone()])?,
                Sequence::Many(items) => Value::sequence(items.clone())?,
            };
            let mut value = self.sort(step, terms, input, env)?;
            for stage in step.stages() {
                if let Stage::Filter(filter) = stage {
                    value = self.filter(filter, value, env)?;
                }
            }
            return Ok(Sequence::Array(value));
        }
        if let Kind::Name(name) = &step.kind
            && step.extras.is_none()
            && !step.keep_array
            && self.trace.is_none()
        {
            return self.name_step(name, source, last);
        }
        let mut results = Flattener::default();
        for index in 0..source.len() {
            let item = source.get(index);
            let mut value = self.eval(step, &item, env)?;
            for stage in step.stages() {
                if let Stage::Filter(filter) = stage {
                    value = self.filter(filter, value, env)?;
                }
            }
            results.push(value, &mut self.budget)?;
            if let Some(trace) = &mut self.trace
                && index == 0
            {
                trace.mute();
            }
        }
        if let Some(trace) = &mut self.trace
            && source.len() > 0
        {
            trace.unmute();
        }
        Ok(results.finish(last))
    }

    /// What stands under a name for each value.
    fn name_step(&mut self, name: &str, source: &Sequence<'a>, last: bool) -> Result<Sequence<'a>> {
        self.budget.charge(source.len())?;
        let mut results = Flattener::default();
        match source.items() {
            ArrayRef::Json(items) => {
                for item in items {
                    let value = match item {
                        Json::Object(entries) => ObjectRef::Json(entries).get(name),
                        Json::Array(_) => Some(self.lookup_one(&Value::from(item), name)?),
                        _ => None,
                    };
                    if let Some(value) = value {
                        results.push(value, &mut self.budget)?;
                    }
                }
            }
            ArrayRef::Owned(items) => {
                for item in items {
                    let value = match item.as_object() {
                        Some(object) => object.get(name).unwrap_or(Value::Undefined),
                        None => Value::Undefined,
                    };
                    let value = match item.as_array() {
                        Some(_) => self.lookup_one(item, name)?,
                        None => value,
                    };
                    results.push(value, &mut self.budget)?;
                }
            }
        }
        Ok(results.finish(last))
    }

    /// A path of names alone, after a variable perhaps, through objects alone: no sequence is
    /// needed. `None` where it comes across an array, or anything else.
    pub(super) fn plain_path(
        &mut self,
        node: &'a Node,
        path: &'a Path,
        input: &Value<'a>,
        env: Env,
    ) -> Result<Option<Value<'a>>> {
        if node.keep_array {
            return Ok(None);
        }
        if let [step] = path.steps.as_slice()
            && let (Kind::Name(name), Some(object)) = (&step.kind, input.as_object())
        {
            return Ok(
                Some(object.get(name).unwrap_or(Value::Undefined)).filter(|v| !v.is_sequence())
            );
        }
        let (mut current, names) = match &path.steps[0].kind {
            Kind::Variable(variable) => (self.variable(variable, env), &path.steps[1..]),
            Kind::Context => (input.unwrapped(), &path.steps[1..]),
            _ => (input.clone(), &path.steps[..]),
        };
        for step in names {
            let Kind::Name(name) = &step.kind else {
                return Ok(None);
            };
            let Some(object) = current.as_object() else {
                let array = current.as_array().is_some();
                return Ok(if array { None } else { Some(Value::Undefined) });
            };
            match object.get(name) {
                Some(value) => current = value,
                None => return Ok(Some(Value::Undefined)),
            }
        }
        self.budget.charge(names.len())?;
        // A single value: a sequence that it holds is one no more.
        Ok(Some(current).filter(|value| !value.is_sequence()))
    }

    /// What stands under a name: in an object, or in each object of an array.
    pub(crate) fn lookup(&mut self, input: &Value<'a>, name: &str) -> Result<Value<'a>> {
        if let Some(object) = input.as_object() {
            return Ok(object.get(name).unwrap_or(Value::Undefined));
        }
        let Some(items) = input.as_array() else {
            return Ok(Value::Undefined);
        };
        let mut found = Vec::new();
        self.budget.charge(items.len())?;
        for item in items.iter() {
            let value = with_stack(|| self.lookup(&item, name))?;
            match value.as_array() {
                Some(elements) => {
                    self.budget.extend(found.len(), elements.len())?;
                    found.extend(elements.iter());
                }
                None if value.is_undefined() => {}
                None => found.push(value),
            }
        }
        Value::sequence(found)
    }

    /// The same, and what a sequence of it stands for.
    fn lookup_one(&mut self, input: &Value<'a>, name: &str) -> Result<Value<'a>> {
        let value = self.lookup(input, name)?;
        Ok(match &value {
            Value::Array(array, flags)
                if flags.has(Flags::SEQUENCE)
                    && array.items.len() < if flags.has(Flags::KEEP) { 1 } else { 2 } =>
            {
                array.items.first().cloned().unwrap_or(Value::Undefined)
            }
            _ => value,
        })
    }

    /// The values of an object.
    pub(super) fn wildcard(&mut self, input: &Value<'a>) -> Result<Value<'a>> {
        let input = input.unwrapped();
        let mut found = Vec::new();
        let mut any_array = false;
        if let Some(object) = input.as_object() {
            self.budget.charge(object.len())?;
            for (_, value) in object.iter() {
                match value.as_array() {
                    Some(items) => {
                        any_array = true;
                        self.flatten(items, &mut found)?;
                    }
                    None => found.push(value),
                }
            }
        } else if let Some(items) = input.as_array() {
            // An array has its elements.
            self.budget.charge(items.len())?;
            for item in items.iter() {
                match item.as_array() {
                    Some(items) => {
                        any_array = true;
                        self.flatten(items, &mut found)?;
                    }
                    None => found.push(item),
                }
            }
        }
        if any_array {
            Value::array(found)
        } else {
            Value::sequence(found)
        }
    }

    fn flatten(&mut self, items: ArrayRef<'_, 'a>, found: &mut Vec<Value<'a>>) -> Result<()> {
        self.budget.extend(found.len(), items.len())?;
        for item in items.iter() {
            match item.as_array() {
                Some(items) => with_stack(|| self.flatten(items, found))?,
                None => found.push(item),
            }
        }
        Ok(())
    }

    /// The value and all that is inside.
    pub(super) fn descendants(&mut self, input: &Value<'a>) -> Result<Value<'a>> {
        let mut found = Vec::new();
        if !input.is_undefined() {
            self.descend(input, &mut found)?;
        }
        Value::of_sequence(found)
    }

    fn descend(&mut self, value: &Value<'a>, found: &mut Vec<Value<'a>>) -> Result<()> {
        self.budget.charge(1)?;
        if let Some(items) = value.as_array() {
            for item in items.iter() {
                with_stack(|| self.descend(&item, found))?;
            }
            return Ok(());
        }
        self.budget.extend(found.len(), 1)?;
        found.push(value.clone());
        for (_, value) in value.as_object().iter().flat_map(|object| object.iter()) {
            with_stack(|| self.descend(&value, found))?;
        }
        Ok(())
    }
}
