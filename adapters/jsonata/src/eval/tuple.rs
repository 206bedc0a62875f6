//! Paths whose steps bind names: `@`, `#`, and the parents that a `%` asks for.
//!
//! Such a path carries tuples from step to step: the context, and what each name is bound to.

use std::rc::Rc;

use crate::error::Result;
use crate::plan::{Bindings, Extras, Kind, Node, Path, Stage};
use crate::value::{Tuple, TupleStream, Value};

use super::sequence::Sequence;
use super::{Env, Evaluator};

impl<'a> Evaluator<'a> {
    pub(super) fn binding_path(
        &mut self,
        node: &'a Node,
        path: &'a Path,
        bindings: &'a Bindings,
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let group = node
            .extras
            .as_ref()
            .and_then(|extras| extras.group.as_ref());
        let source = self.source(path, input);
        let (before, binding) = path.steps.split_at(bindings.first);
        let mut sequence = self.steps(before, source, path.steps.len(), env)?;
        if !before.is_empty() && sequence.len() == 0 {
            return match group {
                Some(group) => self.group(group, Value::Undefined, env),
                None => sequence.into_result(false, false),
            };
        }
        let mut tuples: Option<Vec<Tuple<'a>>> = None;
        for (index, step) in binding.iter().enumerate() {
            if index == 0 && before.is_empty() && step.constructed {
                let input = sequence.into_array()?;
                sequence = Sequence::written(self.eval(step, &input, env)?);
                continue;
            }
            let count = tuples.as_ref().map_or(sequence.len(), Vec::len);
            let next = self.tuple_step(step, bindings, &sequence, tuples.take(), env)?;
            if let Some(trace) = &mut self.trace {
                trace.step(step, count, next.len());
            }
            tuples = Some(next);
        }
        let tuples = tuples.unwrap_or_default();
        if let Some(group) = group {
            return self.group_tuples(group, bindings, tuples, env);
        }
        if path.tuple {
            let stream = TupleStream {
                names: &bindings.names,
                tuples,
            };
            return Ok(Value::Tuples(Rc::new(stream)));
        }
        let contexts = tuples
            .into_iter()
            .filter_map(|mut tuple| tuple.swap_remove(0));
        let contexts = contexts.filter(|value| !value.is_undefined()).collect();
        let keep = path.keep_singleton || node.keep_array;
        Sequence::Many(contexts).into_result(keep, path.keep_singleton)
    }

    /// The bindings of a block with what follows it: predicates, and a group.
    pub(super) fn whole_tuples(
        &mut self,
        extras: &'a Extras,
        bindings: &'a Bindings,
        stream: &TupleStream<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let mut tuples = stream.tuples.clone();
        for predicate in &extras.predicates {
            tuples = self.filter_tuples(predicate, bindings, tuples, env)?;
        }
        if let Some(group) = &extras.group {
            return self.group_tuples(group, bindings, tuples, env);
        }
        Ok(Value::Tuples(Rc::new(TupleStream {
            names: stream.names,
            tuples,
        })))
    }

    /// Runs `inside` with the context and the names of a tuple.
    pub(super) fn with_tuple<R>(
        &mut self,
        bindings: &'a Bindings,
        tuple: &Tuple<'a>,
        env: Env,
        inside: impl FnOnce(&mut Self, &Value<'a>, Env) -> Result<R>,
    ) -> Result<R> {
        let inner = self.enter(&bindings.scope, env);
        for (slot, value) in tuple.iter().enumerate().skip(1) {
            self.set(&bindings.scope, slot, value.clone(), inner);
        }
        let context = tuple
            .first()
            .and_then(Option::as_ref)
            .unwrap_or(&Value::Undefined);
        let result = inside(self, context, inner)?;
        self.exit(&bindings.scope, inner);
        Ok(result)
    }

    fn tuple_step(
        &mut self,
        step: &'a Node,
        bindings: &'a Bindings,
        source: &Sequence<'a>,
        tuples: Option<Vec<Tuple<'a>>>,
        env: Env,
    ) -> Result<Vec<Tuple<'a>>> {
        let made = if let Kind::Sort(terms) = &step.kind {
            match tuples {
                Some(tuples) => self.sort_tuples(step, terms, bindings, tuples, env)?,
                None => self.sort_first(step, terms, bindings, source, env)?,
            }
        } else {
            let tuples = match tuples {
                Some(tuples) => tuples,
                None => {
                    self.charge_tuples(source.len(), bindings)?;
                    (0..source.len())
                        .map(|index| tuple(bindings, source.get(index)))
                        .collect()
                }
            };
            let mut made = Vec::new();
            for (index, tuple) in tuples.iter().enumerate() {
                let value =
                    self.with_tuple(bindings, tuple, env, |evaluator, context, inner| {
                        evaluator.eval(step, context, inner)
                    })?;
                self.join(step, bindings, tuple, value, &mut made)?;
                if let Some(trace) = &mut self.trace
                    && index == 0
                {
                    trace.mute();
                }
            }
            if let Some(trace) = &mut self.trace
                && !tuples.is_empty()
            {
                trace.unmute();
            }
            made
        };
        self.stages(step, bindings, made, env)
    }

    /// Charges a step for each name in so many tuples: each takes room.
    pub(super) fn charge_tuples(&mut self, count: usize, bindings: &Bindings) -> Result<()> {
        self.budget
            .charge(count.saturating_mul(bindings.names.len()))
    }

    /// Adds a tuple for each value that a step gave for `tuple`.
    fn join(
        &mut self,
        step: &Node,
        bindings: &Bindings,
        tuple: &Tuple<'a>,
        value: Value<'a>,
        made: &mut Vec<Tuple<'a>>,
    ) -> Result<()> {
        if value.is_undefined() {
            return Ok(());
        }
        if let Value::Tuples(stream) = &value {
            self.budget.extend(made.len(), stream.tuples.len())?;
            self.charge_tuples(stream.tuples.len(), bindings)?;
            made.extend(
                stream
                    .tuples
                    .iter()
                    .map(|inner| merge(bindings, tuple, stream, inner)),
            );
            return Ok(());
        }
        let items = value.as_array();
        let count = items.map_or(1, |items| items.len());
        self.budget.extend(made.len(), count)?;
        self.charge_tuples(count, bindings)?;
        for index in 0..count {
            let item = match items {
                Some(items) => items.get(index),
                None => Some(value.clone()),
            };
            let mut next = tuple.clone();
            let extras = step.extras.as_deref();
            match extras.and_then(|extras| extras.focus.as_ref()) {
                Some(focus) => next[focus.slot] = item,
                None => next[0] = item,
            }
            if let Some(binding) = extras.and_then(|extras| extras.index.as_ref()) {
                next[binding.slot] = Some(Value::Number(index as f64));
            }
            if let Some(ancestor) = extras.and_then(|extras| extras.ancestor.as_ref()) {
                next[ancestor.binding.slot].clone_from(&tuple[0]);
            }
            made.push(next);
        }
        Ok(())
    }

    fn sort_first(
        &mut self,
        step: &'a Node,
        terms: &'a [crate::plan::Term],
        bindings: &'a Bindings,
        source: &Sequence<'a>,
        env: Env,
    ) -> Result<Vec<Tuple<'a>>> {
        let items = (0..source.len()).map(|index| source.get(index)).collect();
        let sorted = self.sort(step, terms, Value::sequence(items)?, env)?;
        let index = step
            .extras
            .as_ref()
            .and_then(|extras| extras.index.as_ref());
        let mut tuples = Vec::new();
        for (at, item) in sorted
            .as_array()
            .iter()
            .flat_map(|items| items.iter())
            .enumerate()
        {
            let mut next = tuple(bindings, item);
            if let Some(binding) = index {
                next[binding.slot] = Some(Value::Number(at as f64));
            }
            tuples.push(next);
        }
        Ok(tuples)
    }

    fn stages(
        &mut self,
        step: &'a Node,
        bindings: &'a Bindings,
        mut tuples: Vec<Tuple<'a>>,
        env: Env,
    ) -> Result<Vec<Tuple<'a>>> {
        for stage in step.stages() {
            match stage {
                Stage::Filter(filter) => {
                    tuples = self.filter_tuples(filter, bindings, tuples, env)?;
                }
                Stage::Index(binding) => {
                    for (index, tuple) in tuples.iter_mut().enumerate() {
                        tuple[binding.slot] = Some(Value::Number(index as f64));
                    }
                }
            }
        }
        Ok(tuples)
    }
}

/// A tuple of which only the context is known.
fn tuple<'a>(bindings: &Bindings, context: Value<'a>) -> Tuple<'a> {
    let mut tuple = vec![None; bindings.names.len() + 1];
    tuple[0] = Some(context);
    tuple
}

/// `tuple`, and over it what a path inside the step has bound.
fn merge<'a>(
    bindings: &Bindings,
    tuple: &Tuple<'a>,
    stream: &TupleStream<'a>,
    inner: &Tuple<'a>,
) -> Tuple<'a> {
    let mut merged = tuple.clone();
    merged[0].clone_from(&inner[0]);
    for (name, value) in stream.names.iter().zip(&inner[1..]) {
        if let Some(at) = bindings.names.iter().position(|known| known == name)
            && value.is_some()
        {
            merged[at + 1].clone_from(value);
        }
    }
    merged
}
