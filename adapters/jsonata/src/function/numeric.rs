//! Numbers.

use crate::error::{Error, Result};
use crate::eval::Call;
use crate::picture::{decimal, integer};
use crate::value::{Value, number as numbers};

use super::Native;

pub(super) static FUNCTIONS: [Native; 12] = [
    Native::new("number", "<(nsb)-:n>", 1, number),
    Native::new("abs", "<n-:n>", 1, abs),
    Native::new("floor", "<n-:n>", 1, floor),
    Native::new("ceil", "<n-:n>", 1, ceil),
    Native::new("round", "<n-n?:n>", 2, round),
    Native::new("sqrt", "<n-:n>", 1, sqrt),
    Native::new("power", "<n-n:n>", 2, power),
    Native::new("random", "<:n>", 0, random),
    Native::new("formatNumber", "<n-so?:s>", 3, format_number),
    Native::new("formatBase", "<n-n?:s>", 2, format_base),
    Native::new("formatInteger", "<n-s:s>", 2, format_integer),
    Native::new("parseInteger", "<s-s:n>", 2, parse_integer),
];

fn numeric(call: &Call<'_, '_>, index: usize) -> Option<f64> {
    match call.argument(index) {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

fn number<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let number = match &argument {
        Value::Undefined => return Ok(Value::Undefined),
        Value::Number(number) => Some(*number),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        _ => argument.as_str().and_then(parse),
    };
    match number {
        Some(number) => Ok(Value::Number(number)),
        None => Err(Error::new("D3030")
            .with("value", argument.shown())
            .with("index", 1)),
    }
}

/// The number that a text is in JSON, or in JavaScript's hexadecimal, octal or binary notation.
fn parse(text: &str) -> Option<f64> {
    let radix = match text.get(..2) {
        Some("0x" | "0X") => 16,
        Some("0o" | "0O") => 8,
        Some("0b" | "0B") => 2,
        _ => {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let unsigned = text.strip_prefix('-').unwrap_or(text);
            let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
                Some((mantissa, exponent)) => (
                    mantissa,
                    Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
                ),
                None => (unsigned, None),
            };
            let plain = match mantissa.split_once('.') {
                Some((whole, fraction)) => digits(whole) && digits(fraction),
                None => digits(mantissa),
            };
            let fits = plain && exponent.is_none_or(digits);
            return if fits {
                text.parse().ok().filter(|n: &f64| n.is_finite())
            } else {
                None
            };
        }
    };
    let digits = &text[2..];
    if digits.is_empty() {
        return None;
    }
    digits.chars().try_fold(0.0, |number, c| {
        Some(number * f64::from(radix) + f64::from(c.to_digit(radix)?))
    })
}

fn of_one<'a>(call: &mut Call<'_, 'a>, of: fn(f64) -> f64) -> Result<Value<'a>> {
    Ok(numeric(call, 0).map_or(Value::Undefined, |number| Value::Number(of(number))))
}

fn abs<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    of_one(call, f64::abs)
}

fn floor<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    of_one(call, f64::floor)
}

fn ceil<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    of_one(call, f64::ceil)
}

fn round<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let places = numeric(call, 1).unwrap_or(0.0);
    Ok(numeric(call, 0).map_or(Value::Undefined, |number| {
        Value::Number(rounded(number, places))
    }))
}

/// Half to even. The point is shifted in the number's text, as shifting by multiplication would
/// not be exact.
pub(crate) fn rounded(number: f64, places: f64) -> f64 {
    let number = shift(number, places);
    let floor = number.floor();
    let mut whole = if number - floor >= 0.5 {
        floor + 1.0
    } else {
        floor
    };
    if (whole - number).abs() == 0.5 && (whole % 2.0).abs() == 1.0 {
        whole -= 1.0;
    }
    let rounded = shift(whole, -places);
    if rounded == 0.0 { 0.0 } else { rounded }
}

fn shift(number: f64, places: f64) -> f64 {
    if places == 0.0 || !number.is_finite() {
        return number;
    }
    if places.fract() != 0.0 {
        return f64::NAN;
    }
    let text = numbers::to_text(number);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent = exponent.parse::<f64>().unwrap_or(0.0) + places;
    format!("{mantissa}e{exponent}").parse().unwrap_or(number)
}

fn sqrt<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    match numeric(call, 0) {
        None => Ok(Value::Undefined),
        Some(number) if number < 0.0 => {
            let error = Error::new("D3060").with("index", 1);
            Err(error.with("value", Value::Number(number).shown()))
        }
        Some(number) => Ok(Value::Number(number.sqrt())),
    }
}

fn power<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let Some(base) = numeric(call, 0) else {
        return Ok(Value::Undefined);
    };
    let error = Error::new("D3061")
        .with("index", 1)
        .with("value", Value::Number(base).shown());
    // Rust has 1 to the power of nothing at all as 1; ECMAScript has no number for it.
    let Some(exponent) = numeric(call, 1) else {
        return Err(error);
    };
    let power = base.powf(exponent);
    if power.is_finite() {
        return Ok(Value::Number(power));
    }
    Err(error.with("exp", Value::Number(exponent).shown()))
}

fn random<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    Ok(Value::Number(call.evaluator.random.fraction()))
}

fn format_number<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let Some(number) = numeric(call, 0) else {
        return Ok(Value::Undefined);
    };
    let (picture, options) = (call.argument(1), call.argument(2));
    let mut format = decimal::Format::default();
    for (key, value) in options.as_object().iter().flat_map(|object| object.iter()) {
        if let Some(value) = value.as_str() {
            format.set(&key, value);
        }
    }
    let picture = picture.as_str().unwrap_or("");
    call.charge(picture.len())?;
    let text = decimal::format(number, picture, &format)?;
    call.text(text)
}

fn format_base<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let Some(number) = numeric(call, 0) else {
        return Ok(Value::Undefined);
    };
    let number = rounded(number, 0.0);
    let radix = rounded(numeric(call, 1).unwrap_or(10.0), 0.0);
    if !(2.0..=36.0).contains(&radix) {
        return Err(Error::new("D3100").with("value", Value::Number(radix).shown()));
    }
    if radix == 10.0 || !number.is_finite() {
        return call.text(numbers::to_text(number));
    }
    let mut digits = Vec::new();
    let mut rest = number.abs();
    loop {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a digit"
        )]
        digits.push(char::from_digit((rest % radix) as u32, radix as u32).unwrap_or('0'));
        rest = (rest / radix).floor();
        if rest == 0.0 {
            break;
        }
    }
    if number < 0.0 {
        digits.push('-');
    }
    call.text(digits.into_iter().rev().collect())
}

fn format_integer<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let Some(number) = numeric(call, 0) else {
        return Ok(Value::Undefined);
    };
    let picture = call.argument(1);
    let picture = picture.as_str().unwrap_or("");
    call.charge(picture.len())?;
    let text = integer::Picture::parse(picture)?.format(number.floor())?;
    call.text(text)
}

fn parse_integer<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, picture) = (call.argument(0), call.argument(1));
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    let picture = picture.as_str().unwrap_or("");
    call.charge(picture.len() + text.len())?;
    let number = integer::Picture::parse(picture)?.parse_text(text)?;
    Ok(number.map_or(Value::Undefined, Value::Number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts() {
        for (text, number) in [
            ("1", Some(1.0)),
            ("-0.5e-1", Some(-0.05)),
            ("0xff", Some(255.0)),
            ("0b101", Some(5.0)),
            ("0O17", Some(15.0)),
            ("", None),
            ("1.", None),
            (".5", None),
            ("+1", None),
            ("1e999", None),
            ("0x", None),
            ("0b2", None),
            ("1e", None),
        ] {
            assert_eq!(parse(text), number, "{text}");
        }
    }

    #[test]
    fn half_goes_to_even() {
        for (number, places, result) in [
            (11.5, 0.0, 12.0),
            (12.5, 0.0, 12.0),
            (-0.5, 0.0, 0.0),
            (-1.5, 0.0, -2.0),
            (1.005, 2.0, 1.0),
            (1.015, 2.0, 1.02),
            (125.0, -1.0, 120.0),
            (4.525, 2.0, 4.52),
            (1e-7, 6.0, 0.0),
        ] {
            assert_eq!(rounded(number, places), result, "{number} to {places}");
        }
    }
}
