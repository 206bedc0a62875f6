//! What the functions of the library work with.

use crate::error::Result;
use crate::signature::Arguments;
use crate::value::{Flags, Value};

use super::{Env, Evaluator};

/// What a function of the library gets.
pub(crate) struct Call<'e, 'a> {
    pub(crate) evaluator: &'e mut Evaluator<'a>,
    pub(crate) arguments: Arguments<'a>,
    pub(crate) context: Value<'a>,
    /// Where it is called.
    pub(crate) env: Env,
}

impl<'a> Call<'_, 'a> {
    /// The argument at `index`; undefined where there is none.
    pub(crate) fn argument(&self, index: usize) -> Value<'a> {
        self.arguments
            .get(index)
            .cloned()
            .unwrap_or(Value::Undefined)
    }

    /// Calls a function that is an argument.
    pub(crate) fn invoke(
        &mut self,
        function: &Value<'a>,
        arguments: Arguments<'a>,
    ) -> Result<Value<'a>> {
        let env = self.env;
        self.evaluator.apply(function, arguments, &Value::Null, env)
    }

    /// Charges steps.
    pub(crate) fn charge(&mut self, steps: usize) -> Result<()> {
        self.evaluator.budget.charge(steps)
    }

    /// A text, if it may be so long.
    pub(crate) fn text(&mut self, text: String) -> Result<Value<'a>> {
        self.evaluator.budget.text(text.len())?;
        Ok(Value::string(text))
    }

    /// A sequence that stands for no value if it is empty, and for its element if it has one.
    pub(crate) fn sequence(&mut self, items: Vec<Value<'a>>) -> Result<Value<'a>> {
        self.evaluator.budget.extend(0, items.len())?;
        Value::sequence(items)
    }

    /// An array as it is.
    pub(crate) fn array(&mut self, items: Vec<Value<'a>>) -> Result<Value<'a>> {
        self.evaluator.budget.extend(0, items.len())?;
        Value::array(items)
    }
}

/// Whether an array is a sequence: what is made of it is one, too.
pub(crate) fn like<'a>(model: &Value<'a>, items: Vec<Value<'a>>) -> Result<Value<'a>> {
    match model {
        Value::Array(_, flags) if flags.has(Flags::SEQUENCE) => Value::sequence(items),
        _ => Value::array(items),
    }
}
