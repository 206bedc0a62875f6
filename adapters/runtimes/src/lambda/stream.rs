//! An answer in Lambda's streaming mode, as a parser without I/O.
//!
//! Its bytes may begin with a prelude, as for function URLs: JSON with `statusCode`, `headers` and
//! `cookies`, and eight NULs. An error in its midst stands in its trailers. Of the runtimes that AWS
//! publishes, `lambda_runtime` for Rust writes those trailers as a last chunk of the body instead;
//! that is understood, too.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use faas_core::{Attributes, ContentType, FunctionError};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::flight::Head;
use super::report;
use crate::http::STATUS;

/// The content type of an answer that has a prelude.
pub(crate) const INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";
const DELIMITER: [u8; 8] = [0; 8];
/// Bytes of a prelude, or of trailers in the body, at most.
const HEAD_LIMIT: usize = 64 << 10;

const KIND_LINE: &[u8] = b"Lambda-Runtime-Function-Error-Type: ";
const BODY_LINE: &[u8] = b"Lambda-Runtime-Function-Error-Body: ";

#[derive(Debug)]
enum State {
    /// The head of the request is the head of the answer.
    Begin(Head),
    Prelude(BytesMut),
    Body,
    /// What may be trailers.
    Trailers(BytesMut),
}

/// Takes an answer apart; it never holds more than 64 KiB and what was fed last.
#[derive(Debug)]
pub(crate) struct Decoder(State);

/// What has been decoded.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Decoded {
    /// Present once.
    pub(super) head: Option<Head>,
    pub(crate) data: Option<Bytes>,
    /// The end, with an error; nothing after it counts.
    pub(crate) error: Option<FunctionError>,
}

impl Decoder {
    pub(crate) fn new(headers: &HeaderMap) -> Self {
        let content_type = content_type(headers);
        Self(match content_type.as_str() == INTEGRATION {
            true => State::Prelude(BytesMut::new()),
            false => State::Begin(Head {
                content_type,
                attributes: Attributes::new(),
            }),
        })
    }

    /// One chunk of the body; one that is empty may give the head.
    pub(crate) fn feed(&mut self, chunk: Bytes) -> Decoded {
        let mut decoded = Decoded::default();
        match std::mem::replace(&mut self.0, State::Body) {
            State::Begin(head) => {
                decoded.head = Some(head);
                self.body(chunk, &mut decoded);
            }
            State::Prelude(mut read) => {
                read.extend_from_slice(&chunk);
                self.prelude(read, &mut decoded);
            }
            State::Body => self.body(chunk, &mut decoded),
            State::Trailers(mut read) => {
                read.extend_from_slice(&chunk);
                self.trailers(read, &mut decoded);
            }
        }
        decoded
    }

    /// The end of the body, with its trailers.
    pub(crate) fn finish(self, trailers: Option<&HeaderMap>) -> Decoded {
        let mut decoded = Decoded::default();
        match self.0 {
            State::Begin(head) => decoded.head = Some(head),
            State::Prelude(_) => decoded.error = Some(garbage("its answer ends in its prelude")),
            State::Trailers(read) => decoded.data = Some(read.freeze()),
            State::Body => {}
        }
        if let Some(error) = trailers.and_then(report::trailing) {
            decoded.error.get_or_insert(error);
        }
        decoded
    }

    fn prelude(&mut self, mut read: BytesMut, decoded: &mut Decoded) {
        let end = read.windows(DELIMITER.len()).position(|at| at == DELIMITER);
        if end.unwrap_or(read.len()) > HEAD_LIMIT {
            decoded.error = Some(garbage("its prelude does not end"));
            return;
        }
        let Some(end) = end else {
            self.0 = State::Prelude(read);
            return;
        };
        let json = read.split_to(end);
        read.advance(DELIMITER.len());
        match serde_json::from_slice::<Prelude>(&json) {
            Ok(prelude) => {
                decoded.head = Some(prelude.head());
                self.body(read.freeze(), decoded);
            }
            Err(error) => decoded.error = Some(garbage(format!("its prelude is none: {error}"))),
        }
    }

    fn body(&mut self, chunk: Bytes, decoded: &mut Decoded) {
        let shared = chunk.len().min(KIND_LINE.len());
        if shared > 0 && chunk[..shared] == KIND_LINE[..shared] {
            self.trailers(chunk.as_ref().into(), decoded);
        } else if !chunk.is_empty() {
            decoded.data = Some(chunk);
        }
    }

    /// What begins like trailers: they are two lines of a chunk of their own, or else it is data.
    fn trailers(&mut self, read: BytesMut, decoded: &mut Decoded) {
        match in_body(&read) {
            Lines::Both(kind, body) => decoded.error = Some(report::ended(&kind, &body)),
            Lines::Part if read.len() <= HEAD_LIMIT => self.0 = State::Trailers(read),
            Lines::Part | Lines::Other => decoded.data = Some(read.freeze()),
        }
    }
}

enum Lines {
    Both(String, String),
    /// They may still become both.
    Part,
    Other,
}

fn in_body(read: &[u8]) -> Lines {
    let kind = match line(KIND_LINE, read) {
        Ok(found) => found,
        Err(lines) => return lines,
    };
    let (kind, rest) = kind;
    match line(BODY_LINE, rest) {
        Ok((body, [])) => Lines::Both(kind, body),
        Ok(_) => Lines::Other,
        Err(lines) => lines,
    }
}

/// The rest of the first line after `name`, and what follows it.
fn line<'a>(name: &[u8], read: &'a [u8]) -> Result<(String, &'a [u8]), Lines> {
    let shared = read.len().min(name.len());
    if read[..shared] != name[..shared] {
        return Err(Lines::Other);
    }
    let rest = &read[shared..];
    let end = rest.windows(2).position(|at| at == b"\r\n");
    let end = end.ok_or(Lines::Part)?;
    let value = String::from_utf8_lossy(&rest[..end]).into_owned();
    Ok((value, &rest[end + 2..]))
}

fn garbage(message: impl Into<String>) -> FunctionError {
    FunctionError::new(FunctionError::PROTOCOL, message)
}

pub(super) fn content_type(headers: &HeaderMap) -> ContentType {
    let text = headers.get(CONTENT_TYPE);
    let text = text.and_then(|value| value.to_str().ok());
    text.and_then(|text| ContentType::new(text.to_owned()).ok())
        .unwrap_or(ContentType::JSON)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prelude {
    status_code: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    #[serde(default)]
    cookies: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

impl Prelude {
    fn head(self) -> Head {
        let mut attributes = Attributes::new();
        let mut content_type = None;
        if let Some(status) = self.status_code {
            attributes.append(STATUS, status.to_string());
        }
        for (name, values) in self.headers {
            let values = match values {
                Values::One(value) => vec![value],
                Values::Many(values) => values,
            };
            for value in values {
                if name.eq_ignore_ascii_case("content-type") {
                    content_type = ContentType::new(value).ok();
                } else {
                    attributes.append(name.clone(), value);
                }
            }
        }
        for cookie in self.cookies {
            attributes.append("set-cookie", cookie);
        }
        Head {
            content_type: content_type.unwrap_or(ContentType::OCTETS),
            attributes,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoder(content_type: &'static str) -> Decoder {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
        Decoder::new(&headers)
    }

    /// Feeds `bytes` in chunks of `size`: the head, the data, and the error.
    fn feed(
        mut decoder: Decoder,
        bytes: &[u8],
        size: usize,
    ) -> (Option<Head>, Vec<u8>, Option<FunctionError>) {
        let (mut head, mut data) = (None, Vec::new());
        for chunk in bytes.chunks(size) {
            let decoded = decoder.feed(Bytes::copy_from_slice(chunk));
            head = head.or(decoded.head);
            data.extend(decoded.data.into_iter().flatten());
            if decoded.error.is_some() {
                return (head, data, decoded.error);
            }
        }
        let decoded = decoder.finish(None);
        data.extend(decoded.data.into_iter().flatten());
        (head.or(decoded.head), data, decoded.error)
    }

    #[test]
    fn a_prelude_is_the_head_however_it_is_cut() {
        let json = br#"{"statusCode":201,"headers":{"Content-Type":"text/html","x":["1","2"]},"cookies":["a=b"]}"#;
        let bytes = [&json[..], &DELIMITER, b"hello"].concat();
        for size in [1, 7, 1000] {
            let (head, data, error) = feed(decoder(INTEGRATION), &bytes, size);
            let head = head.unwrap();
            assert_eq!(head.content_type.as_str(), "text/html");
            let attributes: Vec<_> = head.attributes.iter().collect();
            let expected = [
                (STATUS, "201"),
                ("x", "1"),
                ("x", "2"),
                ("set-cookie", "a=b"),
            ];
            assert_eq!(attributes, expected);
            assert_eq!((&*data, error), (&b"hello"[..], None));
        }
    }

    #[test]
    fn a_prelude_is_bounded_and_must_be_one() {
        let endless = vec![b' '; HEAD_LIMIT + 9];
        for bytes in [&endless[..], &[b"no JSON", &DELIMITER[..]].concat(), b"{}"] {
            let (head, _, error) = feed(decoder(INTEGRATION), bytes, 4096);
            assert_eq!(
                (head, error.unwrap().kind.as_ref()),
                (None, FunctionError::PROTOCOL)
            );
        }
    }

    #[test]
    fn trailers_in_the_body_are_an_error_and_what_looks_like_them_is_not() {
        let chunk = "Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n\
                     Lambda-Runtime-Function-Error-Body: aGFsZiB3YXk=\r\n";
        let mut ends = decoder("text/plain");
        assert_eq!(ends.feed(Bytes::from("data")).data.unwrap(), "data");
        let error = ends.feed(Bytes::from(chunk)).error.unwrap();
        assert_eq!(
            (&*error.kind, &*error.message),
            ("Runtime.StreamError", "half way")
        );
        for size in [1, 40, 80] {
            let (_, data, error) = feed(decoder("text/plain"), chunk.as_bytes(), size);
            assert!(data.is_empty() && error.is_some(), "{size}");
        }
        for like in [
            &format!("{chunk}more"),
            &chunk[..60],
            "Lambda",
            "Lambda-Runtime\r\n\r\n",
        ] {
            let (_, data, error) = feed(decoder("text/plain"), like.as_bytes(), 1000);
            assert_eq!((&*data, error), (like.as_bytes(), None));
        }
    }

    #[test]
    fn trailers_after_the_body_are_an_error() {
        let mut trailers = HeaderMap::new();
        trailers.insert(report::ERROR_TYPE, http::HeaderValue::from_static("Broken"));
        let decoded = decoder("text/plain").finish(Some(&trailers));
        assert!(decoded.head.is_some());
        assert_eq!(decoded.error.unwrap().kind, "Broken");
    }

    proptest! {
        #[test]
        fn what_is_no_trailer_passes_unchanged(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            size in 1_usize..50,
        ) {
            let (_, data, error) = feed(decoder("text/plain"), &bytes, size);
            prop_assert_eq!((data, error), (bytes, None));
        }

        #[test]
        fn no_prelude_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            feed(decoder(INTEGRATION), &bytes, 17);
        }
    }
}
