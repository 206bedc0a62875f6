//! Calls of functions.

use crate::error::{Error, Result};
use crate::plan::{self, Kind, Node, Variable};
use crate::signature::Arguments;
use crate::stack::with_stack;
use crate::value::{Closure, Function, PartialCall, Value};

use super::{Call, Env, Evaluator};

/// A call that is to be made once the function that ends with it is left.
#[derive(Debug)]
pub(super) struct TailCall<'a> {
    function: Value<'a>,
    arguments: Arguments<'a>,
    node: &'a Node,
    procedure: &'a Node,
}

impl<'a> Evaluator<'a> {
    /// A call; `piped` comes before the arguments that are written.
    pub(super) fn call(
        &mut self,
        node: &'a Node,
        call: &'a plan::Call,
        input: &Value<'a>,
        env: Env,
        piped: Option<Value<'a>>,
    ) -> Result<Value<'a>> {
        let function = self.eval(&call.procedure, input, env)?;
        if function.is_undefined()
            && let Some(error) = self.no_function(node, &call.procedure, call.meant.as_ref(), env)
        {
            return Err(error);
        }
        let tail = call.tail && piped.is_none();
        let mut arguments: Arguments<'a> = piped.into_iter().collect();
        for argument in &call.arguments {
            let value = self.eval(argument, input, env)?;
            arguments.push(value);
        }
        let procedure = &call.procedure;
        if tail {
            self.pending = Some(TailCall {
                function,
                arguments,
                node,
                procedure,
            });
            return Ok(Value::Undefined);
        }
        self.apply(&function, arguments, input, env)
            .map_err(|error| named(error, node, procedure))
    }

    /// `left ~> right`
    pub(super) fn pipe(
        &mut self,
        node: &'a Node,
        operands: &'a (Node, Node),
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let left = self.eval(&operands.0, input, env)?;
        if let Kind::Call(call) = &operands.1.kind {
            let mut value = self.call(&operands.1, call, input, env, Some(left))?;
            for predicate in operands
                .1
                .extras
                .iter()
                .flat_map(|extras| &extras.predicates)
            {
                value = self.filter(predicate, value, env)?;
            }
            return Ok(value);
        }
        let function = self.eval(&operands.1, input, env)?;
        if !function.is_function() {
            return Err(node.error("T2006").with("value", function.shown()));
        }
        if left.is_function() {
            return self.function(Function::Chain(left, function));
        }
        self.apply(&function, Arguments::from_iter([left]), &Value::Null, env)
    }

    /// The error of a call of what is no function; it asks whether a `$` was left out.
    pub(super) fn no_function(
        &self,
        node: &Node,
        procedure: &Node,
        meant: Option<&Variable>,
        env: Env,
    ) -> Option<Error> {
        let known = meant.is_some_and(|meant| !self.variable(meant, env).is_undefined());
        let code = match &node.kind {
            Kind::Partial(_) if known => "T1007",
            Kind::Partial(_) => "T1008",
            _ if known => "T1005",
            _ => return None,
        };
        Some(named(Error::new(code), node, procedure))
    }

    /// Applies a function, and the functions that it ends with.
    pub(crate) fn apply(
        &mut self,
        function: &Value<'a>,
        arguments: Arguments<'a>,
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        // Functions of the library that call functions nest without a step between them.
        self.calls += 1;
        if self.calls > self.budget.limits().depth {
            return Err(Error::new("D1011").with("value", self.budget.limits().depth));
        }
        let value = with_stack(|| self.apply_all(function, arguments, input, env));
        self.calls -= 1;
        value
    }

    fn apply_all(
        &mut self,
        function: &Value<'a>,
        arguments: Arguments<'a>,
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let mut value = self.apply_one(function, arguments, input, env)?;
        while let Some(tail) = self.pending.take() {
            value = self
                .apply_one(&tail.function, tail.arguments, input, env)
                .map_err(|error| named(error, tail.node, tail.procedure))?;
        }
        Ok(value)
    }

    fn apply_one(
        &mut self,
        function: &Value<'a>,
        arguments: Arguments<'a>,
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        self.budget.charge(1 + arguments.len())?;
        match function {
            Value::Native(native) => {
                let arguments = match native.signature() {
                    Some(signature) => signature.apply(arguments, input)?,
                    None => arguments,
                };
                native.run(&mut Call {
                    evaluator: self,
                    arguments,
                    context: input.clone(),
                    env,
                })
            }
            Value::Function(function) => match &**function {
                Function::Lambda(closure) => {
                    let arguments = match &closure.lambda.signature {
                        Some(signature) => signature.apply(arguments, input)?,
                        None => arguments,
                    };
                    self.enter_lambda(closure, arguments)
                }
                Function::Partial(partial) => self.complete(partial, arguments, input, env),
                Function::Chain(first, second) => {
                    let value = self.apply(first, arguments, &Value::Null, env)?;
                    self.apply(second, Arguments::from_iter([value]), &Value::Null, env)
                }
                Function::Regex(matcher) => self.first_match(matcher, &arguments),
                Function::NextMatch {
                    matcher,
                    text,
                    from,
                } => self.next_match(matcher, text, *from),
                Function::Transform(closure) => self.transform(closure, arguments, input),
            },
            _ => Err(Error::new("T1006")),
        }
    }

    fn enter_lambda(
        &mut self,
        closure: &Closure<'a>,
        arguments: Arguments<'a>,
    ) -> Result<Value<'a>> {
        let lambda = closure.lambda;
        let base = self.stack.len();
        self.stack.resize(base + lambda.stack, None);
        let inner = self.enter(
            &lambda.scope,
            Env {
                base,
                frame: closure.frame,
            },
        );
        let mut arguments = arguments.into_iter();
        for slot in 0..lambda.parameters.len() {
            let argument = arguments.next().unwrap_or(Value::Undefined);
            self.set(&lambda.scope, slot, Some(argument), inner);
        }
        let value = self.eval(&lambda.body, &closure.input, inner)?;
        self.exit(&lambda.scope, inner);
        self.stack.truncate(base);
        Ok(value)
    }

    /// Applies a function of which some arguments were known before. A lambda gets them as they
    /// are: its signature is about calls that are written out.
    fn complete(
        &mut self,
        partial: &PartialCall<'a>,
        given: Arguments<'a>,
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        let mut given = given.into_iter();
        let known = partial.arguments.iter();
        let arguments: Arguments<'a> = known
            .map(|argument| match argument {
                Some(argument) => argument.clone(),
                None => given.next().unwrap_or(Value::Undefined),
            })
            .collect();
        if let Value::Function(function) = &partial.function
            && let Function::Lambda(closure) = &**function
        {
            return self.enter_lambda(closure, arguments);
        }
        with_stack(|| self.apply_one(&partial.function, arguments, input, env))
    }

    /// How many arguments a function takes.
    pub(crate) fn arity(function: &Value<'a>) -> usize {
        match function {
            Value::Native(native) => native.arity(),
            Value::Function(function) => match &**function {
                Function::Lambda(closure) => closure.lambda.parameters.len(),
                Function::Partial(partial) => partial
                    .arguments
                    .iter()
                    .filter(|argument| argument.is_none())
                    .count(),
                Function::Regex(_) => 2,
                Function::NextMatch { .. } => 0,
                Function::Chain(..) | Function::Transform(_) => 1,
            },
            _ => 0,
        }
    }
}

/// The name by which a function is called.
fn name_of(procedure: &Node) -> Option<String> {
    match &procedure.kind {
        Kind::Variable(variable) => Some(variable.name.to_string()),
        Kind::Path(path) => match &path.steps[0].kind {
            Kind::Name(name) => Some(name.to_string()),
            _ => None,
        },
        Kind::Text(text) => Some(text.to_string()),
        Kind::Number(number) => Some(crate::value::number::to_text(*number)),
        Kind::Bool(value) => Some(value.to_string()),
        Kind::Context => Some(String::new()),
        Kind::Call(_) | Kind::Partial(_) => Some("(".to_owned()),
        Kind::Array(_) => Some("[".to_owned()),
        Kind::Object(_) => Some("{".to_owned()),
        Kind::Negate(_) => Some("-".to_owned()),
        Kind::Wildcard => Some("*".to_owned()),
        Kind::Descendants => Some("**".to_owned()),
        _ => None,
    }
}

/// An error of a call names the function and the place, unless it names others.
fn named(error: Error, node: &Node, procedure: &Node) -> Error {
    let error = error.at(node.position());
    match name_of(procedure) {
        Some(name) => error.token(name),
        None => error,
    }
}
