//! The frames, as a parser without I/O.
//!
//! A frame is its length (4 bytes, little-endian, of what follows), its kind (1 byte) and its
//! payload. A guest begins a connection with `Hello` and its version; then, in turns, request and
//! response: `Head` (JSON), any number of `Data`, `End` (JSON).

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use faas_core::{Attributes, Caller, FunctionError, Payload};
use serde::{Deserialize, Serialize};

/// The version that this crate speaks.
pub const VERSION: u8 = 1;
/// What a guest of that version begins a connection with, as bytes: `Hello`.
pub const GREETING: [u8; 6] = [2, 0, 0, 0, 0, VERSION];
/// Bytes of a frame at most, its length excluded.
pub const FRAME_LIMIT: usize = 1 << 20;

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The beginning of a connection: the guest's version.
    Hello(u8),
    /// The beginning of a request or response; JSON.
    Head(Bytes),
    /// A part of its bytes.
    Data(Bytes),
    /// Its end; JSON.
    End(Bytes),
}

/// What is not a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Garbage {
    /// A length of zero or over [`FRAME_LIMIT`].
    Length(u32),
    /// A kind that there is none of, or a `Hello` of a wrong size.
    Kind(u8),
}

impl std::fmt::Display for Garbage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length(length) => write!(f, "a frame of {length} bytes"),
            Self::Kind(kind) => write!(f, "a frame of kind {kind}"),
        }
    }
}

/// Makes frames of bytes; it never holds more than a frame and what was fed last.
#[derive(Debug, Default)]
pub struct Decoder(BytesMut);

impl Decoder {
    /// Where to read more bytes into.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    /// How many bytes are missing to the end of the frame that has begun, as far as it is known.
    pub fn missing(&self) -> usize {
        let announced = self.0.first_chunk::<4>();
        let announced = announced.map_or(0, |head| u32::from_le_bytes(*head));
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        (4 + length.min(FRAME_LIMIT)).saturating_sub(self.0.len())
    }

    /// The next frame, if all of it is here.
    ///
    /// # Errors
    /// [`Garbage`], after which the decoder is of no more use.
    pub fn decode(&mut self) -> Result<Option<Frame>, Garbage> {
        let Some(head) = self.0.first_chunk::<4>() else {
            return Ok(None);
        };
        let announced = u32::from_le_bytes(*head);
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if length == 0 || length > FRAME_LIMIT {
            return Err(Garbage::Length(announced));
        }
        if self.0.len() < 4 + length {
            return Ok(None);
        }
        self.0.advance(4);
        let mut frame = self.0.split_to(length).freeze();
        let kind = frame.get_u8();
        match (kind, &*frame) {
            (0, [version]) => Ok(Some(Frame::Hello(*version))),
            (1, _) => Ok(Some(Frame::Head(frame))),
            (2, _) => Ok(Some(Frame::Data(frame))),
            (3, _) => Ok(Some(Frame::End(frame))),
            _ => Err(Garbage::Kind(kind)),
        }
    }
}

/// Appends a frame; data that is too long for one becomes several. Whether a head or an end was
/// too long, and so was not written.
pub fn encode(frame: &Frame, to: &mut BytesMut) -> bool {
    match frame {
        Frame::Hello(version) => put(0, &[*version], to),
        Frame::Head(json) => put(1, json, to),
        Frame::End(json) => put(3, json, to),
        Frame::Data(data) => {
            for part in data.chunks(FRAME_LIMIT - 1) {
                put(2, part, to);
            }
            false
        }
    }
}

fn put(kind: u8, payload: &[u8], to: &mut BytesMut) -> bool {
    let length = payload.len() + 1;
    match u32::try_from(length) {
        Ok(short) if length <= FRAME_LIMIT => {
            to.put_u32_le(short);
            to.put_u8(kind);
            to.put_slice(payload);
            false
        }
        _ => true,
    }
}

/// The head of a request or response.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Head {
    /// The invocation, in hexadecimal digits.
    #[serde(default)]
    pub(super) id: String,
    pub(super) content_type: String,
    #[serde(default)]
    pub(super) attributes: Attributes,
    #[serde(default)]
    pub(super) trace: String,
    /// Milliseconds that the guest has.
    #[serde(default)]
    pub(super) time_left: u64,
    /// The same for every attempt of one logical request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) idempotency_key: Option<Arc<str>>,
    /// Who asks.
    #[serde(default)]
    pub(super) caller: Caller,
    /// Whether the data comes over time.
    #[serde(default)]
    pub(super) stream: bool,
}

/// The end of a request or response.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct End {
    #[serde(default)]
    pub(super) error: Option<FunctionError>,
}

/// A head or an end as the payload of its frame.
pub(super) fn json<T: Serialize>(value: &T) -> Bytes {
    // Strings and numbers alone: there is nothing that could fail; and `{}` is no valid head.
    Payload::json(value).map_or(Bytes::from_static(b"{}"), Payload::into_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames() -> impl Strategy<Value = Frame> {
        let bytes = || prop::collection::vec(any::<u8>(), 1..50).prop_map(Bytes::from);
        prop_oneof![
            any::<u8>().prop_map(Frame::Hello),
            bytes().prop_map(Frame::Head),
            bytes().prop_map(Frame::Data),
            bytes().prop_map(Frame::End),
        ]
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.buffer().extend_from_slice(&bytes);
            while let Ok(Some(_)) = decoder.decode() {}
        }

        #[test]
        fn what_is_encoded_is_decoded(sent in prop::collection::vec(frames(), 0..9), cut in 1_usize..9) {
            let mut wire = BytesMut::new();
            for frame in &sent {
                encode(frame, &mut wire);
            }
            let (mut decoder, mut got) = (Decoder::default(), Vec::new());
            for part in wire.chunks(cut) {
                decoder.buffer().extend_from_slice(part);
                while let Some(frame) = decoder.decode().unwrap() {
                    got.push(frame);
                }
            }
            prop_assert_eq!(got, sent);
        }
    }

    #[test]
    fn the_greeting_is_a_hello() {
        let mut wire = BytesMut::new();
        encode(&Frame::Hello(VERSION), &mut wire);
        assert_eq!(&wire[..], GREETING);
    }

    #[test]
    fn what_is_missing_is_known_and_bounded() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.missing(), 4);
        decoder.buffer().extend_from_slice(&[9, 0, 0, 0, 2, 7]);
        assert_eq!(decoder.missing(), 7);
        let mut decoder = Decoder::default();
        decoder.buffer().extend_from_slice(&[0xff; 4]);
        assert_eq!(decoder.missing(), FRAME_LIMIT);
    }

    #[test]
    fn a_length_is_bounded_before_its_bytes_are_waited_for() {
        let mut decoder = Decoder::default();
        decoder.buffer().extend_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decoder.decode(), Err(Garbage::Length(u32::MAX)));
    }
}
