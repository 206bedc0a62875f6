//! Parsers of what guests send that are not public, for the targets in `fuzz/`.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use crate::lambda::{report, stream};

/// The content type of an answer that has a prelude.
pub const INTEGRATION: &str = stream::INTEGRATION;

/// The data of an answer that comes in those pieces, and whether it ends with an error.
pub fn answer(content_type: &'static str, pieces: &[Vec<u8>]) -> (Vec<u8>, bool) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let mut decoder = stream::Decoder::new(&headers);
    let mut all = Vec::new();
    for piece in pieces {
        let decoded = decoder.feed(Bytes::copy_from_slice(piece));
        all.extend(decoded.data.into_iter().flatten());
        if decoded.error.is_some() {
            return (all, true);
        }
    }
    let decoded = decoder.finish(None);
    all.extend(decoded.data.into_iter().flatten());
    (all, decoded.error.is_some())
}

/// Reads the report of an error.
pub fn report(body: &[u8]) {
    drop(report::posted(&HeaderMap::new(), body));
}
