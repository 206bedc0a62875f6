//! The functions that Amazon States Language adds.

use std::fmt::Write;

use sha2::Digest;

use crate::error::{Error, Result};
use crate::eval::Call;
use crate::random::Random;
use crate::value::Value;

use super::Native;

pub(super) static FUNCTIONS: [Native; 6] = [
    Native::new("partition", "<a-n:a>", 2, partition),
    Native::new("range", "<nnn:a>", 3, range),
    Native::new("hash", "<s-s:s>", 2, hash),
    Native::new("random", "<n?:n>", 1, random),
    Native::new("uuid", "<:s>", 0, uuid),
    Native::new("parse", "<s-:x>", 1, parse),
];

/// An array cut into arrays of a size; the last may be shorter.
fn partition<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, size) = (call.argument(0), call.argument(1));
    let Some(items) = argument.as_array() else {
        return Ok(Value::Undefined);
    };
    let size = match size {
        Value::Number(size) if size >= 1.0 && size.fract() == 0.0 => size,
        other => return Err(Error::new("D4002").with("value", other.shown())),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates"
    )]
    let size = size as usize;
    call.charge(items.len())?;
    let items: Vec<Value<'a>> = items.iter().collect();
    let parts: Result<Vec<_>> = items
        .chunks(size)
        .map(|part| Value::array(part.to_vec()))
        .collect();
    call.array(parts?)
}

/// From the first number to the last, both of them included, in steps. Step Functions gives a
/// sequence: one number is no array.
fn range<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (Value::Number(first), Value::Number(last), Value::Number(step)) =
        (call.argument(0), call.argument(1), call.argument(2))
    else {
        return Ok(Value::Undefined);
    };
    if step == 0.0 || !step.is_finite() {
        return Err(Error::new("D4003").with("value", Value::Number(step).shown()));
    }
    let count = ((last - first) / step + 1.0).floor().max(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates"
    )]
    let count = count as usize;
    call.evaluator.budget.extend(0, count)?;
    call.sequence(
        (0..count)
            .map(|at| Value::Number(first + at as f64 * step))
            .collect(),
    )
}

/// The digest of a text, in hexadecimal.
fn hash<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, algorithm) = (call.argument(0), call.argument(1));
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    call.charge(1 + text.len() / 4)?;
    let digest = match algorithm.as_str().unwrap_or("") {
        "MD5" => digest::<md5::Md5>(text),
        "SHA-1" => digest::<sha1::Sha1>(text),
        "SHA-256" => digest::<sha2::Sha256>(text),
        "SHA-384" => digest::<sha2::Sha384>(text),
        "SHA-512" => digest::<sha2::Sha512>(text),
        other => return Err(Error::new("D4001").with("value", other)),
    };
    call.text(digest)
}

fn digest<D: Digest>(text: &str) -> String {
    hex(&D::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// With a seed, always the same number.
fn random<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    Ok(Value::Number(match call.argument(0) {
        Value::Number(seed) => Random::new(seed.to_bits()).fraction(),
        _ => call.evaluator.random.fraction(),
    }))
}

/// A random UUID (version 4).
fn uuid<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let random = &mut call.evaluator.random;
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.bits().to_be_bytes());
    bytes[8..].copy_from_slice(&random.bits().to_be_bytes());
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let text = hex(&bytes);
    let parts = [
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..],
    ];
    call.text(parts.join("-"))
}

/// What a text of JSON says.
fn parse<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    call.charge(1 + text.len() / 4)?;
    match serde_json::from_str(text) {
        Ok(json) => Value::of_json(json, &mut call.evaluator.budget),
        Err(_) => Err(Error::new("D4004").with("value", argument.shown())),
    }
}
