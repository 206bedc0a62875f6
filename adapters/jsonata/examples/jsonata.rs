//! Evaluates an expression on a file of JSON, or on the standard input:
//!
//! ```sh
//! cargo run -p faas-jsonata --example jsonata -- 'orders[total > 100].id' orders.json
//! cargo run -p faas-jsonata --example jsonata -- --explain 'orders.totl' orders.json
//! ```

use std::error::Error;
use std::io::Read;
use std::time::SystemTime;

use faas_jsonata::{Context, Expression};
use serde_json::Value;

/// What the arguments must be.
const USAGE: &str = "usage: jsonata [--explain] EXPRESSION [FILE]";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let explain = arguments.first().is_some_and(|first| first == "--explain");
    if explain {
        arguments.remove(0);
    }
    let (source, file) = match arguments.as_slice() {
        [source] => (source, None),
        [source, file] => (source, Some(file)),
        _ => return Err(USAGE.into()),
    };
    let text = match file {
        Some(file) => std::fs::read_to_string(file)?,
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
    };
    let input: Value = serde_json::from_str(&text)?;
    let expression: Expression = source.parse()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a program of its own has no `Clock`"
    )]
    let context = Context::new(SystemTime::now(), u64::from(std::process::id()));
    if explain {
        println!("{}", expression.explain(&input, &context));
    } else if let Some(result) = expression.evaluate(&input, &context)? {
        println!("{result:#}");
    }
    Ok(())
}
