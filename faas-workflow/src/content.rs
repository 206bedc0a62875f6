//! Bytes within JSON: as themselves where they are JSON, which they mostly are.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    Json(Box<RawValue>),
    Text(String),
    Bytes(Bytes),
}

impl From<&Bytes> for Content {
    fn from(bytes: &Bytes) -> Self {
        // A raw value loses the blanks around it.
        let json = serde_json::from_slice::<Box<RawValue>>(bytes).ok();
        if let Some(json) = json.filter(|json| json.get().len() == bytes.len()) {
            return Self::Json(json);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.into()),
            Err(_) => Self::Bytes(bytes.clone()),
        }
    }
}

impl From<Content> for Bytes {
    fn from(content: Content) -> Self {
        match content {
            Content::Json(json) => String::from(Box::<str>::from(json)).into(),
            Content::Text(text) => text.into(),
            Content::Bytes(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_bytes_they_are_they_come_back() {
        let cases: [&[u8]; 6] = [
            b"",
            b"text",
            b"{ \"a\" : [1,2] }",
            b" 1 ",
            b"\xff\0",
            b"\"x\"",
        ];
        for case in cases {
            let bytes = Bytes::copy_from_slice(case);
            let stored = serde_json::to_string(&Content::from(&bytes)).unwrap();
            let read: Content = serde_json::from_str(&stored).unwrap();
            assert_eq!(Bytes::from(read), bytes);
        }
    }
}
