//! [`Payload`]: bytes with a content type.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{Error, Result, quoted};

/// A media type (RFC 9110 §8.3), kept as it came.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ContentType(Cow<'static, str>);

impl ContentType {
    /// `application/json`
    pub const JSON: Self = Self(Cow::Borrowed("application/json"));
    /// `application/octet-stream`
    pub const OCTETS: Self = Self(Cow::Borrowed("application/octet-stream"));
    /// `text/plain; charset=utf-8`
    pub const TEXT: Self = Self(Cow::Borrowed("text/plain; charset=utf-8"));

    /// Checks that `text` is `type/subtype`, with parameters or without, and can stand in a header:
    /// visible ASCII, at most 255 bytes.
    ///
    /// # Errors
    /// `InvalidArgument` otherwise.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Result<Self> {
        let text = text.into();
        let visible = text.bytes().all(|b| (b' '..=b'~').contains(&b));
        let named = essence(&text)
            .split_once('/')
            .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
        if visible && named && text.len() <= 255 {
            Ok(Self(text))
        } else {
            let message = format!("{} is not a media type", quoted(&text));
            Err(Error::invalid("parse content type", message))
        }
    }

    /// The media type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is JSON, with or without parameters or a `+json` suffix.
    pub fn is_json(&self) -> bool {
        let essence = essence(&self.0).to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    }
}

/// The media type without its parameters.
fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

/// A token of RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let symbol = |b: u8| b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || symbol(b))
}

impl FromStr for ContentType {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text.to_owned())
    }
}

impl Serialize for ContentType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ContentType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes and what they are; cloning copies no bytes.
///
/// ```
/// # use faas_core::Payload;
/// let payload = Payload::json(&vec![1, 2, 3])?;
/// assert_eq!(payload.to_json::<Vec<u8>>()?, [1, 2, 3]);
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    bytes: Bytes,
    content_type: ContentType,
}

impl Payload {
    /// Bytes of the given type.
    pub fn new(bytes: impl Into<Bytes>, content_type: ContentType) -> Self {
        Self {
            bytes: bytes.into(),
            content_type,
        }
    }

    /// Bytes of no particular type.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(bytes, ContentType::OCTETS)
    }

    /// UTF-8 text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(text.into(), ContentType::TEXT)
    }

    /// Nothing.
    pub const fn empty() -> Self {
        Self {
            bytes: Bytes::new(),
            content_type: ContentType::OCTETS,
        }
    }

    /// `value` as JSON.
    ///
    /// # Errors
    /// `InvalidArgument` if `value` has no form in JSON (a map with keys that are not text, say).
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let bytes = serde_json::to_vec(value).map_err(|error| {
            Error::invalid("encode payload", "the value has no form in JSON").with_source(error)
        })?;
        Ok(Self::new(bytes, ContentType::JSON))
    }

    /// The bytes read as JSON, whatever their content type.
    ///
    /// # Errors
    /// `InvalidArgument` if they are not JSON of that shape.
    pub fn to_json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.bytes).map_err(|error| {
            let message = format!("{} bytes of {:?}: {error}", self.len(), self.content_type);
            Error::invalid("decode payload", message).with_source(error)
        })
    }

    /// The bytes read as UTF-8 text, whatever their content type.
    ///
    /// # Errors
    /// `InvalidArgument` if they are not UTF-8.
    pub fn to_text(&self) -> Result<&str> {
        std::str::from_utf8(&self.bytes).map_err(|error| {
            let message = format!("{} bytes are not UTF-8: {error}", self.len());
            Error::invalid("decode payload", message).with_source(error)
        })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes, taken out.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The content type.
    #[inline]
    pub fn content_type(&self) -> &ContentType {
        &self.content_type
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Payload({} bytes, {:?})",
            self.bytes.len(),
            self.content_type
        )
    }
}

macro_rules! conversions {
    ($($from:ty => $make:ident;)*) => {$(
        impl From<$from> for Payload {
            fn from(value: $from) -> Self {
                Self::$make(value)
            }
        }
    )*};
}
conversions! {
    Bytes => bytes;
    Vec<u8> => bytes;
    String => text;
    &str => text;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_clone_shares_the_bytes() {
        let payload = Payload::bytes(vec![7; 1024]);
        let copy = payload.clone();
        assert_eq!(payload.as_bytes().as_ptr(), copy.as_bytes().as_ptr());
    }

    #[test]
    fn bytes_of_another_shape_are_refused_with_the_reason() {
        let error = Payload::text("x").to_json::<u8>().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
        assert!(error.message().contains("1 bytes of text/plain"), "{error}");
        assert!(Payload::bytes(vec![0xff]).to_text().is_err());
        assert_eq!(Payload::from("grüß").to_text().unwrap(), "grüß");
    }

    #[test]
    fn only_media_types_are_content_types() {
        for good in ["text/html", "application/ld+JSON; charset=utf-8", "*/*"] {
            assert!(good.parse::<ContentType>().is_ok(), "{good}");
        }
        let long = format!("a/{}", "b".repeat(254));
        for bad in [
            "",
            "/",
            "a/",
            "/b",
            "a b/c",
            "text",
            ";a/b",
            "a/b\r\nx: y",
            "ä/b",
            &long,
        ] {
            assert!(bad.parse::<ContentType>().is_err(), "{bad}");
        }
    }

    #[test]
    fn json_is_known_by_its_essence() {
        for json in ["application/json", "Application/JSON ; q=1", "a/b+JSON"] {
            assert!(json.parse::<ContentType>().unwrap().is_json(), "{json}");
        }
        assert!(!ContentType::TEXT.is_json());
    }

    proptest! {
        #[test]
        fn no_content_type_panics_and_good_ones_come_back(text in ".{0,300}") {
            if let Ok(parsed) = text.parse::<ContentType>() {
                prop_assert_eq!(parsed.to_string(), text);
            }
        }

        #[test]
        fn json_round_trips(value: Vec<(u64, String)>) {
            let payload = Payload::json(&value).unwrap();
            prop_assert_eq!(payload.to_json::<Vec<(u64, String)>>().unwrap(), value);
        }
    }
}
