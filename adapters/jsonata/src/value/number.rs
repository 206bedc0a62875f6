//! Numbers as JavaScript writes them.

use serde_json::{Number, Value as Json};

/// The largest number up to which every integer is one.
const SAFE: f64 = 9_007_199_254_740_991.0;

/// The shortest text that is read back as this number, as ECMAScript's `Number::toString` has it.
pub(crate) fn to_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    if number.fract() == 0.0 && number.abs() <= SAFE {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is within the range of exact integers"
        )]
        return (number as i64).to_string();
    }
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if number < 0.0 { "-" } else { "" };
    format!("{sign}{}", place_point(&digits, exponent))
}

/// Digits, of which the first counts ten to the power of `exponent`.
fn place_point(digits: &str, exponent: i32) -> String {
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    match exponent {
        21.. | ..=-7 => {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            let sign = if exponent < 0 { "-" } else { "+" };
            format!("{first}{point}{rest}e{sign}{}", exponent.abs())
        }
        0.. if exponent + 1 >= count => format!("{digits}{}", zeros(exponent + 1 - count)),
        0.. => {
            let (whole, rest) = digits.split_at(usize::try_from(exponent + 1).unwrap_or(0));
            format!("{whole}.{rest}")
        }
        _ => format!("0.{}{digits}", zeros(-exponent - 1)),
    }
}

/// The number to 15 significant digits: what is left of it when it becomes a text.
pub(crate) fn to_15_digits(number: f64) -> f64 {
    if number.fract() == 0.0 || !number.is_finite() {
        return number;
    }
    // Sixteen more digits tell a tie, which ECMAScript rounds up and Rust rounds to even.
    let long = format!("{:.30e}", number.abs());
    let (mantissa, exponent) = long.split_once('e').unwrap_or((&long, "0"));
    let tie = mantissa.get(16..17) == Some("5") && mantissa[17..].bytes().all(|b| b == b'0');
    let rounded = if tie {
        let kept = mantissa[..16].replace('.', "").parse::<u64>().unwrap_or(0) + 1;
        let exponent: i32 = exponent.parse().unwrap_or(0);
        format!("{kept}e{}", exponent - 14)
    } else {
        format!("{:.14e}", number.abs())
    };
    rounded
        .parse::<f64>()
        .unwrap_or(number.abs())
        .copysign(number)
}

/// The number as JSON: an integer where it is one. `None` if it is not finite.
pub(crate) fn to_json(number: f64) -> Option<Json> {
    if number.fract() == 0.0 && number.abs() <= SAFE {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is within the range of exact integers"
        )]
        return Some(Json::from(number as i64));
    }
    Number::from_f64(number).map(Json::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_ecmascript_writes_them() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (1e21, "1e+21"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1.5e300, "1.5e+300"),
            (0.000_001, "0.000001"),
            (0.000_000_12, "1.2e-7"),
            (1e-7, "1e-7"),
            (0.1 + 0.2, "0.30000000000000004"),
            (100.25, "100.25"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(to_text(number), text);
        }
    }

    #[test]
    fn fifteen_digits() {
        assert_eq!(to_15_digits(0.1 + 0.2), 0.3);
        assert_eq!(to_15_digits(-1.1 * 1.1), -1.21);
        assert_eq!(to_15_digits(100_000_000_000_000.5), 100_000_000_000_001.0);
        assert_eq!(to_15_digits(1e300), 1e300);
    }
}
