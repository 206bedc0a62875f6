//! JSONata: an expression on any input ends within its limits, and the same way each time.
//!
//! The first line is the expression, the rest is JSON.
#![no_main]

use faas_jsonata::{Context, Expression, Limits};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let (source, json) = text.split_once('\n').unwrap_or((text, "null"));
    let Ok(expression) = source.parse::<Expression>() else { return };
    let input: Value = serde_json::from_str(json).unwrap_or_default();
    let limits = Limits::default().depth(300).steps(50_000).sequence(10_000).bytes(1 << 20);
    let context = Context::default().with_limits(limits);
    let result = expression.evaluate(&input, &context);
    assert_eq!(result, expression.evaluate(&input, &context));
    assert_eq!(expression.explain(&input, &context).result(), result.as_ref().map(Option::as_ref));
});
