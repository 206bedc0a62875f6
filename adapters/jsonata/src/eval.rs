//! Plans to values.
//!
//! A value is evaluated for a *context*, the input of the node, in an *environment*, the place of
//! the names that are bound around it.

mod call;
mod filter;
mod frame;
mod group;
mod matching;
mod native;
mod operator;
mod path;
mod run;
mod sequence;
mod sort;
mod transform;
mod tuple;

use std::rc::Rc;

use typed_arena::Arena;

use crate::budget::Budget;
use crate::context::Bound;
use crate::error::Result;
use crate::explain::Trace;
use crate::picture::date::Parser;
use crate::plan::{Global, Kind, Node, Plan};
use crate::random::Random;
use crate::stack::with_stack;
use crate::value::{Closure, Flags, Function, PartialCall, TransformClosure, Value, compare};

pub(crate) use frame::{Env, FrameId};
pub(crate) use native::{Call, like};
pub(crate) use run::evaluate;

use call::TailCall;
use frame::Frame;

/// Every so many nested steps it is looked whether the native stack suffices: what is left to it
/// then is enough for more.
const CHECKED: usize = 4;

/// One evaluation.
pub(crate) struct Evaluator<'a> {
    pub(crate) budget: Budget,
    pub(crate) now: i64,
    pub(crate) random: Random,
    /// What each step gave, where that is asked for.
    pub(crate) trace: Option<Trace>,
    /// The plans of texts that are evaluated on the way.
    plans: &'a Arena<Plan>,
    input: Value<'a>,
    bindings: &'a [(Box<str>, Bound<'a>)],
    names: Vec<Global>,
    globals: Vec<Value<'a>>,
    depth: usize,
    /// How many calls of functions are nested.
    calls: usize,
    stack: Vec<Option<Value<'a>>>,
    frames: Vec<Frame<'a>>,
    /// Frames below this one are remembered by functions.
    pinned: usize,
    /// The call that a function ended with.
    pending: Option<TailCall<'a>>,
    /// The pictures of times that were used last.
    date_parsers: Vec<(Box<str>, Rc<Parser>)>,
}

impl<'a> Evaluator<'a> {
    /// The value of `node` for `input`.
    pub(crate) fn eval(
        &mut self,
        node: &'a Node,
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        self.budget.charge(1)?;
        if node.extras.is_none() {
            match &node.kind {
                Kind::Null => return Ok(Value::Null),
                Kind::Bool(value) => return Ok(Value::Bool(*value)),
                Kind::Number(number) => return Ok(Value::Number(*number)),
                Kind::Text(text) => return Ok(Value::Text(text)),
                Kind::Path(path) if path.plain && self.trace.is_none() => {
                    if let Some(value) = self.plain_path(node, path, input, env)? {
                        return Ok(value);
                    }
                }
                Kind::Variable(variable) if !node.keep_array && self.trace.is_none() => {
                    let value = self.variable(variable, env);
                    if !value.is_sequence() {
                        return Ok(value);
                    }
                }
                _ => {}
            }
        }
        self.depth += 1;
        if self.depth > self.budget.limits().depth {
            return Err(node
                .error("D1011")
                .with("value", self.budget.limits().depth));
        }
        let entered = self.trace.as_mut().map(|trace| trace.enter(node));
        let value = if self.depth.is_multiple_of(CHECKED) {
            with_stack(|| self.whole(node, input, env))
        } else {
            self.whole(node, input, env)
        };
        if let Some(trace) = &mut self.trace {
            trace.leave(entered.flatten(), input, &value);
        }
        self.depth -= 1;
        value
    }

    /// The value with what follows the node: predicates, a group, what a sequence stands for.
    fn whole(&mut self, node: &'a Node, input: &Value<'a>, env: Env) -> Result<Value<'a>> {
        let mut value = self.bare(node, input, env)?;
        if let Some(extras) = &node.extras {
            if let (Value::Tuples(stream), Some(bindings)) = (&value, &extras.bindings) {
                return self.whole_tuples(extras, bindings, stream, env);
            }
            for predicate in &extras.predicates {
                value = self.filter(predicate, value, env)?;
            }
            if let Some(group) = &extras.group
                && !matches!(node.kind, Kind::Path(_))
            {
                value = self.group(group, value, env)?;
            }
        }
        let Value::Array(array, flags) = &value else {
            return Ok(value);
        };
        if !flags.has(Flags::SEQUENCE) {
            return Ok(value);
        }
        let keep = node.keep_array || flags.has(Flags::KEEP);
        match array.items.as_slice() {
            [] => Ok(Value::Undefined),
            [item] if !keep => Ok(item.clone()),
            _ if node.keep_array => Ok(Value::Array(Rc::clone(array), flags.and(Flags::KEEP))),
            _ => Ok(value),
        }
    }

    fn bare(&mut self, node: &'a Node, input: &Value<'a>, env: Env) -> Result<Value<'a>> {
        match &node.kind {
            Kind::Null => Ok(Value::Null),
            Kind::Bool(value) => Ok(Value::Bool(*value)),
            Kind::Number(number) => Ok(Value::Number(*number)),
            Kind::Text(text) => Ok(Value::Text(text)),
            Kind::Regex(matcher) => Ok(Value::Function(Rc::new(Function::Regex(matcher)))),
            Kind::Name(name) => self.lookup(input, name),
            Kind::Wildcard => self.wildcard(input),
            Kind::Descendants => self.descendants(input),
            Kind::Parent { variable, .. } | Kind::Variable(variable) => {
                Ok(self.variable(variable, env))
            }
            Kind::Context => Ok(input.unwrapped()),
            Kind::Path(path) => self.path(node, path, input, env),
            Kind::Negate(operand) => self.negate(node, operand, input, env),
            Kind::Array(items) => self.array(node, items, input, env),
            Kind::Object(group) => self.group(group, input.clone(), env),
            Kind::Binary(operator, pair) => self.binary(node, *operator, pair, input, env),
            Kind::Condition(condition) => {
                let test = self.eval(&condition.condition, input, env)?;
                match (self.truth(&test)?, &condition.otherwise) {
                    (true, _) => self.eval(&condition.then, input, env),
                    (false, Some(otherwise)) => self.eval(otherwise, input, env),
                    (false, None) => Ok(Value::Undefined),
                }
            }
            Kind::Elvis(pair) => {
                let value = self.eval(&pair.0, input, env)?;
                if self.truth(&value)? {
                    Ok(value)
                } else {
                    self.eval(&pair.1, input, env)
                }
            }
            Kind::Coalesce(pair) => {
                let value = self.eval(&pair.0, input, env)?;
                if value.is_undefined() {
                    self.eval(&pair.1, input, env)
                } else {
                    Ok(value)
                }
            }
            Kind::Block(block) => {
                let inner = self.enter(&block.scope, env);
                let mut value = Value::Undefined;
                for part in &block.parts {
                    value = self.eval(part, input, inner)?;
                }
                self.exit(&block.scope, inner);
                Ok(value)
            }
            Kind::Bind(bind) => {
                let value = self.eval(&bind.1, input, env)?;
                self.assign(&bind.0, value.clone(), env);
                Ok(value)
            }
            Kind::Call(call) => self.call(node, call, input, env, None),
            Kind::Partial(partial) => self.partial(node, partial, input, env),
            Kind::Apply(pair) => self.pipe(node, pair, input, env),
            Kind::Lambda(lambda) => {
                self.pin(env);
                let closure = Closure {
                    lambda,
                    frame: env.frame,
                    input: input.clone(),
                };
                self.function(Function::Lambda(closure))
            }
            Kind::Sort(terms) => self.sort(node, terms, input.clone(), env),
            Kind::Transform(transform) => {
                self.pin(env);
                let position = node.position();
                let closure = TransformClosure {
                    transform,
                    frame: env.frame,
                    position,
                };
                self.function(Function::Transform(closure))
            }
        }
    }

    /// An array constructor: what its items give, one after the other.
    fn array(
        &mut self,
        node: &'a Node,
        items: &'a [Node],
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let mut made = Vec::with_capacity(items.len());
        for item in items {
            let value = self.eval(item, input, env)?;
            match value.as_array() {
                Some(elements) if !matches!(item.kind, Kind::Array(_)) => {
                    self.budget.extend(made.len(), elements.len())?;
                    made.extend(elements.iter());
                }
                _ if value.is_undefined() => {}
                _ => made.push(value),
            }
        }
        let Value::Array(array, flags) = Value::array(made)? else {
            return Ok(Value::Undefined);
        };
        let constructed = if node.constructed {
            Flags::CONSTRUCTED
        } else {
            Flags::NONE
        };
        Ok(Value::Array(array, flags.and(constructed)))
    }

    pub(crate) fn truth(&mut self, value: &Value<'a>) -> Result<bool> {
        compare::truth(value, &mut self.budget)
    }

    /// A function as a value, if what it holds is not nested too deeply.
    pub(crate) fn function(&self, function: Function<'a>) -> Result<Value<'a>> {
        crate::value::deeper(function.depth())?;
        Ok(Value::Function(Rc::new(function)))
    }

    fn partial(
        &mut self,
        node: &'a Node,
        partial: &'a crate::plan::Partial,
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let mut arguments = Vec::with_capacity(partial.arguments.len());
        for argument in &partial.arguments {
            arguments.push(match argument {
                Some(argument) => Some(self.eval(argument, input, env)?),
                None => None,
            });
        }
        let function = self.eval(&partial.procedure, input, env)?;
        if !function.is_function()
            && let Some(error) =
                self.no_function(node, &partial.procedure, partial.meant.as_ref(), env)
        {
            return Err(error);
        }
        self.function(Function::Partial(PartialCall {
            function,
            arguments,
        }))
    }
}
