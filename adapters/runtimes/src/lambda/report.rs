//! How runtimes describe errors.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use faas_core::FunctionError;
use http::HeaderMap;
use serde::Deserialize;

/// The header, and trailer, that names the kind of an error.
pub(super) const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
/// The trailer that holds the rest, in Base64.
const ERROR_BODY: &str = "lambda-runtime-function-error-body";

/// What is known of an error without its description.
const UNHANDLED: &str = "Unhandled";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    error_message: Option<String>,
    error_type: Option<String>,
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The error that a request to an `error` path reports.
pub(crate) fn posted(headers: &HeaderMap, body: &[u8]) -> FunctionError {
    let kind = text(headers, ERROR_TYPE);
    match (described(body, kind), kind) {
        (Ok(error), _) => error,
        (Err(_), Some(kind)) => {
            FunctionError::new(kind.to_owned(), String::from_utf8_lossy(body).into_owned())
        }
        (Err(error), None) => {
            let message = format!("its report of an error is none: {error}");
            FunctionError::new(FunctionError::PROTOCOL, message)
        }
    }
}

/// The error that ends a stream, if its trailers name one.
pub(super) fn trailing(trailers: &HeaderMap) -> Option<FunctionError> {
    let kind = text(trailers, ERROR_TYPE)?;
    Some(ended(kind, text(trailers, ERROR_BODY).unwrap_or_default()))
}

/// An error that ends a stream: its kind, and its description in Base64.
pub(super) fn ended(kind: &str, body: &str) -> FunctionError {
    let decoded = BASE64_STANDARD.decode(body.trim());
    let body = decoded.unwrap_or_else(|_| body.into());
    described(&body, Some(kind)).unwrap_or_else(|_| {
        FunctionError::new(kind.to_owned(), String::from_utf8_lossy(&body).into_owned())
    })
}

fn described(body: &[u8], kind: Option<&str>) -> serde_json::Result<FunctionError> {
    let report: Report = serde_json::from_slice(body)?;
    let kind = report.error_type.or_else(|| kind.map(str::to_owned));
    let kind = kind.unwrap_or_else(|| UNHANDLED.to_owned());
    let error = FunctionError::new(kind, report.error_message.unwrap_or_default());
    Ok(error.with_details(String::from_utf8_lossy(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers(kind: &'static str, body: &str) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert(ERROR_TYPE, http::HeaderValue::from_static(kind));
        trailers.insert(ERROR_BODY, body.parse().unwrap());
        trailers
    }

    #[test]
    fn trailers_hold_json_in_base64_or_whatever_it_is() {
        let json = BASE64_STANDARD.encode(r#"{"errorType":"Inner","errorMessage":"half way"}"#);
        let error = trailing(&trailers("Outer", &json)).unwrap();
        assert_eq!((&*error.kind, &*error.message), ("Inner", "half way"));
        let text = BASE64_STANDARD.encode("no JSON");
        let error = trailing(&trailers("Outer", &text)).unwrap();
        assert_eq!((&*error.kind, &*error.message), ("Outer", "no JSON"));
        let error = trailing(&trailers("Outer", "{plain}")).unwrap();
        assert_eq!((&*error.kind, &*error.message), ("Outer", "{plain}"));
        assert!(trailing(&HeaderMap::new()).is_none());
    }

    #[test]
    fn a_report_is_json_or_has_its_kind_in_the_header() {
        let none = HeaderMap::new();
        assert_eq!(posted(&none, b"garbage").kind, FunctionError::PROTOCOL);
        assert_eq!(posted(&none, b"{}").kind, UNHANDLED);
        let error = posted(&trailers("Named", ""), b"in words");
        assert_eq!((&*error.kind, &*error.message), ("Named", "in words"));
    }
}
