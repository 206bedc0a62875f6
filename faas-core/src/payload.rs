//! [`Payload`]: bytes with a content type.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

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

    /// Checks that `text` can stand in a header: visible ASCII with a `/`, at most 255 bytes.
    ///
    /// # Errors
    /// `InvalidArgument` otherwise.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Result<Self> {
        let text = text.into();
        let visible = text.bytes().all(|b| (b' '..=b'~').contains(&b));
        if visible && text.contains('/') && text.len() <= 255 {
            Ok(Self(text))
        } else {
            Err(Error::invalid(
                "parse content type",
                format!("{text:?} is not a media type"),
            ))
        }
    }

    /// The media type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is JSON, with or without parameters or a `+json` suffix.
    pub fn is_json(&self) -> bool {
        let essence = self.0.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json")
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

    /// The bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes, taken out.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The content type.
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
