//! What the runtime is told of an invocation, beside its event.

use std::collections::BTreeMap;

use faas_core::{Invocation, InvocationId, TraceContext};
use faas_function::registry::FunctionRevision;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Bytes of a client context at most, as on AWS (3,583 in Base64): what is over that is left out.
const CONTEXT_LIMIT: usize = 2687;
/// The custom value of the client context that holds the idempotency key.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The headers of an invocation that the runtime knows by `id`, and that ends at `deadline`
/// (milliseconds since 1970).
pub(super) fn headers(
    revision: &FunctionRevision,
    invocation: &Invocation,
    id: &str,
    deadline: i64,
) -> HeaderMap {
    let (function, number) = (&revision.function.name, revision.number);
    let region = revision.config.environment.get("AWS_REGION");
    let region = region.map_or("local", String::as_str);
    let arn = format!("arn:aws:lambda:{region}:000000000000:function:{function}:{number}");
    let content_type = invocation.payload.content_type().as_str();
    let pairs = [
        ("content-type", content_type.to_owned()),
        ("lambda-runtime-aws-request-id", id.to_owned()),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", arn),
        ("lambda-runtime-trace-id", trace_id(&invocation.trace)),
        ("lambda-runtime-client-context", client_context(invocation)),
    ];
    let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let header = |(name, value): (_, String)| {
        let value = HeaderValue::try_from(value).ok()?;
        Some((HeaderName::from_static(name), value))
    };
    pairs.filter_map(header).collect()
}

/// Lambda's request ids are UUIDs by their looks, and some runtimes check.
pub(super) fn request_id(id: InvocationId) -> String {
    let hex = id.to_string();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

/// The W3C trace context in the words of X-Ray; empty without one.
fn trace_id(trace: &TraceContext) -> String {
    if !trace.is_present() {
        return String::new();
    }
    let hex = format!("{:032x}", trace.trace_id);
    let (time, rest) = hex.split_at(8);
    let (parent, sampled) = (trace.parent_id, trace.flags & 1);
    format!("Root=1-{time}-{rest};Parent={parent:016x};Sampled={sampled}")
}

/// The idempotency key and the attributes as custom values of a client context, which is what AWS
/// has for such; empty without any.
fn client_context(invocation: &Invocation) -> String {
    let key = invocation.idempotency_key.as_deref();
    let key = key.map(|key| (IDEMPOTENCY_KEY, key));
    let mut custom = BTreeMap::<&str, String>::new();
    let mut size = r#"{"custom":{}}"#.len();
    for (name, value) in key.into_iter().chain(invocation.attributes.iter()) {
        size += ascii_json(name).len() + ascii_json(value).len() + 2;
        if size > CONTEXT_LIMIT {
            tracing::debug!(id = %invocation.id, name, "an attribute is left out: there are too many");
            break;
        }
        // As HTTP joins what stands more than once.
        let joined = custom.entry(name).or_default();
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(value);
    }
    if custom.is_empty() {
        return String::new();
    }
    let pairs = custom
        .iter()
        .map(|(name, value)| format!("{}:{}", ascii_json(name), ascii_json(value)));
    format!(
        r#"{{"custom":{{{}}}}}"#,
        pairs.collect::<Vec<_>>().join(",")
    )
}

/// A text as JSON that can stand in a header.
fn ascii_json(text: &str) -> String {
    // A text always has a form in JSON.
    let json = serde_json::to_string(text).unwrap_or_default();
    let mut ascii = String::with_capacity(json.len());
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ 0x20..0x7f) => ascii.push(char::from(byte)),
            _ => ascii.push_str(&format!("\\u{unit:04x}")),
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use faas_core::Payload;
    use proptest::prelude::*;

    use super::*;

    fn invocation() -> Invocation {
        let function = "hello".parse().unwrap();
        Invocation::new(InvocationId::from_u128(1), function, Payload::empty())
    }

    #[test]
    fn attributes_and_the_idempotency_key_are_custom_values() {
        assert_eq!(client_context(&invocation()), "");
        let mut invocation = invocation()
            .with_attribute("accept", "a/b")
            .with_attribute("accept", "c/d");
        invocation.idempotency_key = Some("once".into());
        let context: serde_json::Value =
            serde_json::from_str(&client_context(&invocation)).unwrap();
        let expected =
            serde_json::json!({"custom": {"idempotency-key": "once", "accept": "a/b, c/d"}});
        assert_eq!(context, expected);
    }

    proptest! {
        #[test]
        fn a_client_context_is_bounded_and_stands_in_a_header(
            pairs in prop::collection::vec((".{0,40}", ".{0,400}"), 0..20),
        ) {
            let invocation = invocation().with_attributes(pairs.into_iter().collect());
            let context = client_context(&invocation);
            prop_assert!(context.len() <= CONTEXT_LIMIT);
            prop_assert!(HeaderValue::try_from(&context).is_ok());
            prop_assert!(context.is_empty() || serde_json::from_str::<serde_json::Value>(&context).is_ok());
        }
    }
}
