//! JSONata: what is parsed is printed so that it is read back as the same expression.
#![no_main]

use faas_jsonata::{Dialect, Expression};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Expression::parse(text, Dialect::StepFunctions) {
        Ok(expression) => {
            let printed = expression.to_string();
            let again = Expression::parse(&printed, Dialect::StepFunctions);
            assert_eq!(again.as_ref(), Ok(&expression), "{text:?} was printed as {printed:?}");
        }
        Err(error) => {
            assert!(error.code().starts_with('S'), "{error}");
            assert!(error.message().len() < 4096, "a message as long as its input");
        }
    }
});
