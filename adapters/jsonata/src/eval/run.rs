//! How an evaluation begins.

use std::rc::Rc;

use serde_json::Value as Json;
use typed_arena::Arena;

use crate::budget::Budget;
use crate::context::{Bound, Context};
use crate::error::{Error, Result};
use crate::explain::Trace;
use crate::picture::date::Parser;
use crate::plan::{Global, Plan};
use crate::random::Random;
use crate::value::{Flags, Object, Str, Value};

use super::{Env, Evaluator};

/// How many pictures of times are remembered.
const DATE_PARSERS: usize = 8;

/// Evaluates `plan`; the trace is what it did, if `traced`.
pub(crate) fn evaluate(
    plan: &Plan,
    input: Option<&Json>,
    context: &Context<'_>,
    traced: Option<&str>,
) -> (Result<Option<Json>>, Option<Trace>) {
    let plans = Arena::new();
    let mut evaluator = Evaluator {
        budget: Budget::new(*context.limits()),
        now: context.millis(),
        random: Random::new(context.seed()),
        trace: traced.map(Trace::new),
        plans: &plans,
        input: input.map_or(Value::Undefined, Value::from),
        bindings: context.bindings(),
        names: Vec::new(),
        globals: Vec::new(),
        depth: 0,
        calls: 0,
        stack: Vec::new(),
        frames: Vec::new(),
        pinned: 0,
        pending: None,
        date_parsers: Vec::new(),
    };
    let result = evaluator
        .run(plan)
        .and_then(|value| value.to_json(&mut evaluator.budget));
    (result, evaluator.trace)
}

impl<'a> Evaluator<'a> {
    fn run(&mut self, plan: &'a Plan) -> Result<Value<'a>> {
        self.bind_globals(&plan.globals)?;
        let mut input = self.input.clone();
        if input.as_array().is_some() {
            let items = vec![input];
            let Value::Array(array, flags) = Value::sequence(items)? else {
                return Ok(Value::Undefined);
            };
            input = Value::Array(array, flags.and(Flags::OUTER));
        }
        self.stack.resize(plan.stack, None);
        let env = self.enter(&plan.scope, Env::default());
        let value = self.eval(&plan.root, &input, env)?;
        Ok(value.unwrapped())
    }

    /// Gives the globals beyond those that are known their values.
    fn bind_globals(&mut self, globals: &[Global]) -> Result<()> {
        for global in &globals[self.globals.len().min(globals.len())..] {
            let bound = self
                .bindings
                .iter()
                .rev()
                .find(|(name, _)| *name == global.name);
            self.globals.push(match (bound, global.native) {
                (Some((_, Bound::Json(json))), _) => Value::from(*json),
                (Some((_, Bound::Fields(fields))), _) => {
                    let mut object = Object::with_capacity(fields.len());
                    for (key, json) in fields {
                        object.insert(Str::Text(key), Value::from(*json))?;
                    }
                    Value::Object(Rc::new(object))
                }
                (None, Some(native)) => Value::Native(native),
                (None, None) if &*global.name == "$" => self.input.clone(),
                (None, None) => Value::Undefined,
            });
            self.names.push(global.clone());
        }
        Ok(())
    }

    /// Evaluates a text in the environment of a call.
    pub(crate) fn eval_text(
        &mut self,
        source: &str,
        input: &Value<'a>,
        env: Env,
    ) -> Result<Value<'a>> {
        self.budget.text(source.len() * 16)?;
        let frames = self.frame_names(env);
        let plan = Plan::within(source, &frames, self.names.clone())
            .map_err(|error| Error::new("D3120").with("value", error.message()))?;
        let plans: &'a Arena<Plan> = self.plans;
        let plan: &'a Plan = plans.alloc(plan);
        self.bind_globals(&plan.globals)?;
        let base = self.stack.len();
        self.stack.resize(base + plan.stack, None);
        let inner = self.enter(
            &plan.scope,
            Env {
                base,
                frame: env.frame,
            },
        );
        let value = self.eval(&plan.root, input, inner);
        self.exit(&plan.scope, inner);
        self.stack.truncate(base);
        value.map_err(|error| Error::new("D3121").with("value", error.message()))
    }

    /// What reads times by a picture, remembered for the next time.
    pub(crate) fn date_parser(&mut self, picture: &str) -> Result<Rc<Parser>> {
        if let Some((_, parser)) = self
            .date_parsers
            .iter()
            .find(|(known, _)| **known == *picture)
        {
            return Ok(Rc::clone(parser));
        }
        self.budget.text(picture.len() * 16)?;
        let parser = Rc::new(Parser::new(picture)?);
        if self.date_parsers.len() == DATE_PARSERS {
            self.date_parsers.remove(0);
        }
        self.date_parsers.push((picture.into(), Rc::clone(&parser)));
        Ok(parser)
    }
}
