//! The library of functions, by family.

mod aggregate;
mod array;
mod control;
mod datetime;
mod encode;
mod higher_order;
mod numeric;
mod object;
mod pattern;
mod states;
mod string;

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, OnceLock};

use crate::dialect::Dialect;
use crate::error::Result;
use crate::eval::Call;
use crate::signature::Signature;
use crate::value::Value;

pub(crate) use numeric::rounded;

type Run = for<'e, 'a> fn(&mut Call<'e, 'a>) -> Result<Value<'a>>;

/// A function of the library.
pub(crate) struct Native {
    name: &'static str,
    signature: &'static str,
    parsed: OnceLock<Option<Signature>>,
    arity: usize,
    run: Run,
}

impl Native {
    /// `arity` is how many parameters the reference's function has: as many arguments it gets from
    /// a function that calls it, such as `$map`.
    const fn new(name: &'static str, signature: &'static str, arity: usize, run: Run) -> Self {
        Self {
            name,
            signature,
            parsed: OnceLock::new(),
            arity,
            run,
        }
    }

    pub(crate) fn signature(&self) -> Option<&Signature> {
        self.parsed
            .get_or_init(|| Signature::parse(self.signature).ok())
            .as_ref()
    }

    pub(crate) fn arity(&self) -> usize {
        self.arity
    }

    pub(crate) fn run<'a>(&self, call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
        (self.run)(call)
    }
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.name)
    }
}

/// The functions of the language.
static STANDARD: [&[Native]; 10] = [
    &aggregate::FUNCTIONS,
    &array::FUNCTIONS,
    &control::FUNCTIONS,
    &datetime::FUNCTIONS,
    &encode::FUNCTIONS,
    &higher_order::FUNCTIONS,
    &numeric::FUNCTIONS,
    &object::FUNCTIONS,
    &pattern::FUNCTIONS,
    &string::FUNCTIONS,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Native>> = LazyLock::new(|| {
    STANDARD
        .iter()
        .copied()
        .flatten()
        .map(|native| (native.name, native))
        .collect()
});

/// The function of this name.
pub(crate) fn named(name: &str, dialect: Dialect) -> Option<&'static Native> {
    match dialect {
        Dialect::Standard => BY_NAME.get(name).copied(),
        Dialect::StepFunctions if name == "eval" => None,
        Dialect::StepFunctions => {
            let own = states::FUNCTIONS.iter().find(|native| native.name == name);
            own.or_else(|| BY_NAME.get(name).copied())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_is_read() {
        for native in STANDARD.iter().copied().flatten().chain(&states::FUNCTIONS) {
            assert!(native.signature().is_some(), "{native:?}");
        }
    }

    #[test]
    fn each_dialect_has_its_functions() {
        assert!(named("eval", Dialect::Standard).is_some());
        assert!(named("eval", Dialect::StepFunctions).is_none());
        assert!(named("uuid", Dialect::Standard).is_none());
        assert!(named("uuid", Dialect::StepFunctions).is_some());
    }
}
