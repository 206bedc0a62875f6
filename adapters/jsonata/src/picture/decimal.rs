//! `fn:format-number`.

mod parts;

use crate::error::{Error, Result};
use crate::function::rounded;

use parts::{SubPicture, analyse};

/// The characters of a decimal format.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    decimal_separator: String,
    grouping_separator: String,
    exponent_separator: String,
    minus_sign: String,
    percent: String,
    per_mille: String,
    zero_digit: char,
    digit: String,
    pattern_separator: String,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            decimal_separator: ".".into(),
            grouping_separator: ",".into(),
            exponent_separator: "e".into(),
            minus_sign: "-".into(),
            percent: "%".into(),
            per_mille: "‰".into(),
            zero_digit: '0',
            digit: "#".into(),
            pattern_separator: ";".into(),
        }
    }
}

impl Format {
    /// Sets a property; what is no property is passed over.
    pub(crate) fn set(&mut self, property: &str, value: &str) {
        let target = match property {
            "decimal-separator" => &mut self.decimal_separator,
            "grouping-separator" => &mut self.grouping_separator,
            "exponent-separator" => &mut self.exponent_separator,
            "minus-sign" => &mut self.minus_sign,
            "percent" => &mut self.percent,
            "per-mille" => &mut self.per_mille,
            "digit" => &mut self.digit,
            "pattern-separator" => &mut self.pattern_separator,
            "zero-digit" => {
                self.zero_digit = value.chars().next().unwrap_or('0');
                return;
            }
            _ => return,
        };
        value.clone_into(target);
    }

    /// The digit of the family that counts `digit`.
    fn family(&self, digit: u32) -> char {
        char::from_u32(u32::from(self.zero_digit) + digit).unwrap_or(self.zero_digit)
    }

    fn in_family(&self, c: char) -> bool {
        (0..10).contains(&(i64::from(u32::from(c)) - i64::from(u32::from(self.zero_digit))))
    }

    /// A digit that is always written, or one that may be.
    fn is_digit(&self, c: char) -> bool {
        self.in_family(c) || is(&self.digit, c)
    }

    /// Whether a character stands for something in a picture.
    fn is_active(&self, c: char) -> bool {
        self.is_digit(c)
            || is(&self.decimal_separator, c)
            || is(&self.exponent_separator, c)
            || is(&self.grouping_separator, c)
            || is(&self.pattern_separator, c)
    }
}

/// Whether a property is this character.
fn is(property: &str, c: char) -> bool {
    let mut chars = property.chars();
    chars.next() == Some(c) && chars.next().is_none()
}

/// The number by a picture.
pub(crate) fn format(number: f64, picture: &str, format: &Format) -> Result<String> {
    let pictures: Vec<&str> = if format.pattern_separator.is_empty() {
        vec![picture]
    } else {
        picture.split(format.pattern_separator.as_str()).collect()
    };
    if pictures.len() > 2 {
        return Err(Error::new("D3080"));
    }
    let mut analysed = Vec::with_capacity(2);
    for picture in pictures {
        analysed.push(analyse(picture, format)?);
    }
    if analysed.len() == 1 {
        let mut negative = analysed[0].clone();
        negative.prefix.insert_str(0, &format.minus_sign);
        analysed.push(negative);
    }
    let sub = &analysed[usize::from(number < 0.0 || number.is_nan())];
    Ok(sub.write(number, format))
}

impl SubPicture {
    fn write(&self, number: f64, format: &Format) -> String {
        let (mantissa, exponent) = self.scale(number * self.factor);
        let rounded = rounded(mantissa, self.most_fraction as f64);
        let digits = format!("{:.*}", self.most_fraction, rounded.abs());
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let whole = format!("{whole:0>width$}", width = self.least_integer);
        let fraction = format!("{fraction:0<width$}", width = self.least_fraction);
        let mut text = self.prefix.clone();
        self.write_integer(&whole, format, &mut text);
        if self.has_point && !fraction.is_empty() {
            text.push_str(&format.decimal_separator);
            self.write_fraction(&fraction, format, &mut text);
        }
        if let Some(exponent) = exponent {
            text.push_str(&format.exponent_separator);
            if exponent < 0 {
                text.push_str(&format.minus_sign);
            }
            let digits = exponent.unsigned_abs().to_string();
            push_digits(
                &format!("{digits:0>width$}", width = self.least_exponent),
                format,
                &mut text,
            );
        }
        text.push_str(&self.suffix);
        text
    }

    /// Mantissa and exponent, such that the mantissa has as many digits before the point as the
    /// picture asks for.
    fn scale(&self, number: f64) -> (f64, Option<i32>) {
        if self.least_exponent == 0 {
            return (number, None);
        }
        let most = 10_f64.powi(i32::try_from(self.scaling).unwrap_or(i32::MAX));
        let least = most / 10.0;
        let mut mantissa = number;
        let mut exponent = 0;
        if mantissa != 0.0 && mantissa.is_finite() && most.is_finite() {
            while mantissa.abs() < least {
                mantissa *= 10.0;
                exponent -= 1;
            }
            while mantissa.abs() > most {
                mantissa /= 10.0;
                exponent += 1;
            }
        }
        (mantissa, Some(exponent))
    }

    fn write_integer(&self, digits: &str, format: &Format, text: &mut String) {
        let count = digits.len();
        for (at, digit) in digits.char_indices() {
            let right = count - at;
            let separated = at > 0
                && match self.integer_every {
                    Some(distance) => right.is_multiple_of(distance),
                    None => self.integer_groups.contains(&right),
                };
            if separated {
                text.push_str(&format.grouping_separator);
            }
            push_digits(digit.encode_utf8(&mut [0; 4]), format, text);
        }
    }

    fn write_fraction(&self, digits: &str, format: &Format, text: &mut String) {
        for (at, digit) in digits.char_indices() {
            if at > 0 && self.fraction_groups.contains(&at) {
                text.push_str(&format.grouping_separator);
            }
            push_digits(digit.encode_utf8(&mut [0; 4]), format, text);
        }
    }
}

fn push_digits(digits: &str, format: &Format, text: &mut String) {
    text.extend(
        digits
            .chars()
            .map(|c| c.to_digit(10).map_or(c, |digit| format.family(digit))),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures() {
        let plain = Format::default();
        for (number, picture, text) in [
            (12_345.6, "#,###.00", "12,345.60"),
            (123_412_345_678.9, "9,9,99.99", "123412345,6,78.90"),
            (1234.56789, "9,999.999,999", "1,234.567,890"),
            (0.4857, "###.###‰", "485.7‰"),
            (-6.0, "000", "-006"),
            (-6.0, "0;(0)", "(6)"),
            (1234.5678, "00.000e000", "12.346e002"),
            (0.234, "#.00e0", "0.23e0"),
            (0.234, ".00e0", ".23e0"),
            (0.0, "#", "0"),
            (0.0, "0e0", "0e0"),
            (12.0, "x0.0e0y", "x1.2e1y"),
            (185.2812, "P##00.000###S", "P185.2812S"),
        ] {
            assert_eq!(format(number, picture, &plain).unwrap(), text, "{picture}");
        }
    }

    #[test]
    fn faults_have_their_codes() {
        for (picture, code) in [
            ("0;0;0", "D3080"),
            ("#.0.0", "D3081"),
            ("#0%%", "D3082"),
            ("#0‰‰", "D3083"),
            ("#0%‰", "D3084"),
            (".e0", "D3085"),
            ("0+.e0", "D3086"),
            ("0,.e0", "D3087"),
            ("0,", "D3088"),
            ("0,,0", "D3089"),
            ("0#.e0", "D3090"),
            ("#0.#0e0", "D3091"),
            ("#0e0%", "D3092"),
            ("#0e#", "D3093"),
        ] {
            let error = format(20.0, picture, &Format::default()).unwrap_err();
            assert_eq!(error.code(), code, "{picture}");
        }
    }
}
