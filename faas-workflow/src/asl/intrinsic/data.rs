//! The functions of texts, objects and numbers.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use faas_core::policy::SeededRandom;
use md5::Md5;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::function::kind;
use crate::asl::value::round;

/// How many characters may be hashed, encoded or decoded, as on AWS.
const CHARACTERS: usize = 10_000;

fn short(text: &str) -> Result<&str, String> {
    let count = text.chars().count();
    if count > CHARACTERS {
        return Err(format!(
            "the text has {count} characters; {CHARACTERS} may be given"
        ));
    }
    Ok(text)
}

pub(super) fn string_to_json(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text).map_err(|error| format!("the text is no JSON: {error}"))
}

pub(super) fn base64_encode(text: &str) -> Result<Value, String> {
    Ok(BASE64.encode(short(text)?).into())
}

pub(super) fn base64_decode(text: &str) -> Result<Value, String> {
    let bytes = BASE64
        .decode(short(text)?)
        .map_err(|error| format!("the text is no Base64: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "what is encoded is no text".to_owned())?;
    Ok(text.into())
}

pub(super) fn hash(data: &Value, algorithm: &str) -> Result<Value, String> {
    let text = match data {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let bytes = short(&text)?.as_bytes();
    let digest = match algorithm {
        "MD5" => Md5::digest(bytes).to_vec(),
        "SHA-1" => Sha1::digest(bytes).to_vec(),
        "SHA-256" => Sha256::digest(bytes).to_vec(),
        "SHA-384" => Sha384::digest(bytes).to_vec(),
        "SHA-512" => Sha512::digest(bytes).to_vec(),
        other => {
            return Err(format!(
                "there is no algorithm {other:?}; there are MD5, SHA-1, SHA-256, SHA-384, SHA-512"
            ));
        }
    };
    Ok(digest
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
        .into())
}

/// The fields of both; those of the second win.
pub(super) fn json_merge(first: Value, second: Value, deep: &Value) -> Result<Value, String> {
    if deep != &Value::Bool(false) {
        return Err("only shallow merges are known: the third argument is false".into());
    }
    match (first, second) {
        (Value::Object(mut first), Value::Object(second)) => {
            first.extend(second);
            Ok(Value::Object(first))
        }
        (first, second) => {
            let (first, second) = (kind(&first), kind(&second));
            Err(format!(
                "expected two objects, was given {first} and {second}"
            ))
        }
    }
}

fn whole(value: &Value) -> Result<i64, String> {
    round(value).ok_or_else(|| format!("expected a number, was given {}", kind(value)))
}

/// From `first`, included, to `last`, excluded; the same seed gives the same number.
pub(super) fn math_random(
    first: &Value,
    last: &Value,
    seed: Option<Value>,
    random: &mut SeededRandom,
) -> Result<Value, String> {
    let (first, last) = (whole(first)?, whole(last)?);
    let bits = match seed {
        Some(seed) => SeededRandom::new(whole(&seed)?.cast_unsigned()).next_u64(),
        None => random.next_u64(),
    };
    let span = i128::from(last) - i128::from(first);
    if span <= 0 {
        return Err(format!("{first} is not below {last}"));
    }
    let number = i128::from(first) + i128::from(bits) % span;
    let number = i64::try_from(number).map_err(|_| "the range is too large".to_owned())?;
    Ok(number.into())
}

pub(super) fn math_add(first: &Value, second: &Value) -> Result<Value, String> {
    let sum = whole(first)?.checked_add(whole(second)?);
    sum.map(Value::from)
        .ok_or_else(|| "the sum is too large".into())
}

/// A random UUID (RFC 9562, version 4).
pub(in crate::asl) fn uuid(random: &mut SeededRandom) -> String {
    let (high, low) = (random.next_u64(), random.next_u64());
    let high = high & 0xffff_ffff_ffff_0fff | 0x4000;
    let low = low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}
