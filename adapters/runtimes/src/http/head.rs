//! Invocations as requests, and answers as responses.

use bytes::Bytes;
use faas_core::{Attributes, ContentType, FunctionError, Invocation};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;

/// The attribute that holds the method of a request; `POST` without it.
pub const METHOD: &str = ":method";
/// The attribute that holds the path, and query, of a request; `/` without it.
pub const PATH: &str = ":path";
/// The attribute that holds the status code of an answer.
pub const STATUS: &str = ":status";
/// The header of an answer that names the error that it is; its body is the error's text.
pub const ERROR: &str = "faas-error";

/// What is of one connection, or what the connection itself sets.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];
const KEEP_ALIVE: &str = "keep-alive";
const TRACE: &str = "traceparent";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const FUNCTION: HeaderValue = HeaderValue::from_static("function");

fn passes(name: &HeaderName) -> bool {
    !HOP_BY_HOP.contains(name) && name.as_str() != KEEP_ALIVE
}

/// The request of an invocation; the text is what its attributes have wrong.
pub(super) fn request(invocation: Invocation) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::new(Full::default());
    *request.method_mut() = Method::POST;
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_str(invocation.payload.content_type().as_str());
    headers.extend(kind.ok().map(|kind| (header::CONTENT_TYPE, kind)));
    if invocation.trace.is_present() {
        let trace = HeaderValue::from_str(&invocation.trace.to_string()).ok();
        headers.extend(trace.map(|trace| (HeaderName::from_static(TRACE), trace)));
    }
    if let Some(key) = &invocation.idempotency_key {
        let name = HeaderName::from_static(IDEMPOTENCY_KEY);
        headers.extend(HeaderValue::from_str(key).ok().map(|key| (name, key)));
    }
    for (name, value) in invocation.attributes.iter() {
        match name {
            METHOD => *request.method_mut() = parsed(name, value)?,
            PATH => *request.uri_mut() = parsed::<Uri>(name, value)?,
            // Other pseudo-headers say nothing in HTTP/1.1.
            _ if name.starts_with(':') => {}
            _ => {
                let name: HeaderName = parsed(name, name)?;
                if passes(&name) {
                    let value = parsed(name.as_str(), value)?;
                    headers.append(name, value);
                }
            }
        }
    }
    headers.entry(header::HOST).or_insert(FUNCTION);
    *request.headers_mut() = headers;
    *request.body_mut() = Full::new(invocation.payload.into_bytes());
    Ok(request)
}

fn parsed<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    let bad = |_| format!("attribute {name}: {value:?} cannot stand in an HTTP request");
    value.parse().map_err(bad)
}

/// What the head of an answer says.
pub(super) struct Head {
    pub(super) content_type: ContentType,
    pub(super) attributes: Attributes,
    /// How many bytes follow, where that is known.
    pub(super) length: Option<u64>,
    /// The failure that it is; its text is the body.
    pub(super) failure: Option<FunctionError>,
}

pub(super) fn answer(status: StatusCode, headers: &HeaderMap) -> Head {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = text(&header::CONTENT_TYPE).map(str::to_owned);
    let content_type = content_type.and_then(|kind| ContentType::new(kind).ok());
    let mut attributes = Attributes::new();
    attributes.append(STATUS, status.as_str());
    for (name, value) in headers {
        if let Ok(value) = value.to_str()
            && passes(name)
            && name != header::CONTENT_TYPE
        {
            attributes.append(name.as_str(), value);
        }
    }
    let named = text(&HeaderName::from_static(ERROR)).map(str::to_owned);
    let failed = status
        .is_server_error()
        .then(|| format!("Http.{}", status.as_u16()));
    let failure = named.or(failed);
    Head {
        content_type: content_type.unwrap_or(ContentType::OCTETS),
        attributes,
        length: text(&header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        failure: failure.map(|kind| FunctionError::new(kind, status.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use faas_core::{InvocationId, Payload};

    use super::*;

    fn invocation() -> Invocation {
        let function = "hello".parse().unwrap();
        Invocation::new(InvocationId::from_u128(1), function, Payload::text("hi"))
    }

    #[test]
    fn attributes_are_the_request_but_for_what_is_of_a_connection() {
        let mut invocation = invocation()
            .with_attribute(METHOD, "PUT")
            .with_attribute(PATH, "/a?b=c")
            .with_attribute("x", "1")
            .with_attribute("x", "2")
            .with_attribute("connection", "close")
            .with_attribute("content-length", "99");
        invocation.idempotency_key = Some("once".into());
        let request = request(invocation).unwrap();
        assert_eq!(
            (request.method(), request.uri().to_string()),
            (&Method::PUT, "/a?b=c".into())
        );
        let all: Vec<_> = request.headers().get_all("x").iter().collect();
        assert_eq!(all, ["1", "2"]);
        assert_eq!(
            request.headers()["content-type"],
            "text/plain; charset=utf-8"
        );
        assert_eq!(request.headers()["idempotency-key"], "once");
        assert!(!request.headers().contains_key("connection"));
        assert!(!request.headers().contains_key("content-length"));
    }

    #[test]
    fn what_cannot_stand_in_a_request_is_named() {
        for (name, value) in [(METHOD, "a b"), (PATH, "\0"), ("a b", ""), ("a", "\n")] {
            let error = request(invocation().with_attribute(name, value)).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_status_from_500_on_is_a_failure_that_a_header_may_name() {
        let mut headers = HeaderMap::new();
        assert!(answer(StatusCode::NOT_FOUND, &headers).failure.is_none());
        let failure = answer(StatusCode::BAD_GATEWAY, &headers).failure;
        assert_eq!(failure.unwrap().kind, "Http.502");
        headers.insert(ERROR, HeaderValue::from_static("Broken"));
        assert_eq!(
            answer(StatusCode::OK, &headers).failure.unwrap().kind,
            "Broken"
        );
    }
}
