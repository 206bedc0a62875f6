//! Base64 and URLs.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::{Error, Result};
use crate::eval::Call;
use crate::value::Value;

use super::Native;

pub(super) static FUNCTIONS: [Native; 6] = [
    Native::new("base64encode", "<s-:s>", 1, base64encode),
    Native::new("base64decode", "<s-:s>", 1, base64decode),
    Native::new("encodeUrlComponent", "<s-:s>", 1, encode_component),
    Native::new("encodeUrl", "<s-:s>", 1, encode_url),
    Native::new("decodeUrlComponent", "<s-:s>", 1, decode_component),
    Native::new("decodeUrl", "<s-:s>", 1, decode_url),
];

/// What stays as it is in any URL.
const UNRESERVED: &str = "-_.!~*'()";
/// What means something in a URL.
const RESERVED: &str = ";/?:@&=+$,#";

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Each UTF-16 unit is one byte, its low one, as in the reference.
fn base64encode<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    let bytes: Vec<u8> = text
        .encode_utf16()
        .map(|unit| unit.to_le_bytes()[0])
        .collect();
    call.text(LENIENT.encode(bytes))
}

/// What is no character of the alphabet is passed over; each byte is one character.
fn base64decode<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    let text = text.split('=').next().unwrap_or_default();
    let mut kept: Vec<u8> = text
        .bytes()
        .filter_map(|byte| match byte {
            b'-' => Some(b'+'),
            b'_' => Some(b'/'),
            b'+' | b'/' => Some(byte),
            _ => byte.is_ascii_alphanumeric().then_some(byte),
        })
        .collect();
    if kept.len() % 4 == 1 {
        kept.pop();
    }
    let bytes = LENIENT.decode(kept).unwrap_or_default();
    call.text(bytes.into_iter().map(char::from).collect())
}

fn encode<'a>(call: &mut Call<'_, 'a>, also_kept: &str) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || UNRESERVED.contains(c) || also_kept.contains(c) {
            encoded.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            encoded.extend([
                "%",
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        }
    }
    call.text(encoded)
}

const HEX: [&str; 16] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F",
];

fn encode_component<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    encode(call, "")
}

fn encode_url<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    encode(call, RESERVED)
}

fn decode_component<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    decode(call, "", "decodeUrlComponent")
}

fn decode_url<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    decode(call, RESERVED, "decodeUrl")
}

fn decode<'a>(call: &mut Call<'_, 'a>, kept: &str, name: &'static str) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    match decoded(text, kept) {
        Some(text) => call.text(text),
        None => Err(Error::new("D3140")
            .with("value", text)
            .with("functionName", name)),
    }
}

/// `None` where an escape is cut short, or escapes do not form characters.
fn decoded(text: &str, kept: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let digit = |at: usize| {
            after
                .get(at)
                .and_then(|byte| char::from(*byte).to_digit(16))
        };
        let byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
        if byte.is_ascii() && kept.contains(char::from(byte)) {
            bytes.extend_from_slice(&rest[..3]);
        } else {
            bytes.push(byte);
        }
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}
