//! What an execution is given, as text.

use faas_core::{Error, Result};
use serde_json::Value;

use super::settings::Limits;
use super::value::is_deeper;

/// The input that a text is, as AWS's `StartExecution` takes it.
///
/// # Errors
/// `InvalidArgument` if it is no JSON, or larger or deeper than an execution's data may be.
pub fn execution_input(text: &str, limits: &Limits) -> Result<Value> {
    const ATTEMPT: &str = "read execution input";
    if text.trim().is_empty() {
        return Err(Error::invalid(
            ATTEMPT,
            "it is empty; give {} if there is nothing to say",
        ));
    }
    if text.len() > limits.data_bytes {
        let (bytes, most) = (text.len(), limits.data_bytes);
        let message = format!("it has {bytes} bytes; {most} are allowed");
        return Err(Error::invalid(ATTEMPT, message));
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Error::invalid(ATTEMPT, format!("it is no JSON: {error}")))?;
    if is_deeper(&value, limits.data_depth) {
        let message = format!("it nests deeper than {} levels", limits.data_depth);
        return Err(Error::invalid(ATTEMPT, message));
    }
    Ok(value)
}
