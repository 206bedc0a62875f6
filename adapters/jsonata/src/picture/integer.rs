//! `fn:format-integer`, and its inverse.

use crate::error::{Error, Result};
use crate::value::number;

use super::{numeral, regular_distance, words};

/// The zeros of the families of decimal digits.
const ZEROS: [u32; 37] = [
    0x30, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6,
    0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80,
    0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0,
    0xFF10,
];

/// How an integer is written.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(super) primary: Primary,
    pub(super) ordinal: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Primary {
    Letters(Case),
    Roman(Case),
    Words(Case),
    Decimal(Decimal),
    /// Another sequence, which this implementation does not know.
    Sequence(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Upper,
    Lower,
    Title,
}

#[derive(Clone, Debug)]
pub(super) struct Decimal {
    zero: u32,
    pub(super) mandatory: usize,
    pub(super) optional: usize,
    /// From the right: how many digits are behind each separator.
    separators: Vec<(usize, char)>,
    /// The distance of the separators, if it is regular.
    pub(super) every: Option<(usize, char)>,
}

impl Case {
    pub(super) fn apply(self, text: &str) -> String {
        match self {
            Self::Upper => text.to_uppercase(),
            Self::Lower => text.to_lowercase(),
            Self::Title => text.to_owned(),
        }
    }
}

impl Picture {
    pub(crate) fn parse(picture: &str) -> Result<Self> {
        let (primary, modifier) = picture.rsplit_once(';').unwrap_or((picture, ""));
        let ordinal = modifier.starts_with('o');
        let primary = match primary {
            "A" => Primary::Letters(Case::Upper),
            "a" => Primary::Letters(Case::Lower),
            "I" => Primary::Roman(Case::Upper),
            "i" => Primary::Roman(Case::Lower),
            "W" => Primary::Words(Case::Upper),
            "Ww" => Primary::Words(Case::Title),
            "w" => Primary::Words(Case::Lower),
            other => Decimal::parse(other)?
                .map_or_else(|| Primary::Sequence(other.to_owned()), Primary::Decimal),
        };
        Ok(Self { primary, ordinal })
    }

    pub(crate) fn format(&self, number: f64) -> Result<String> {
        let size = number.abs();
        let too_large = || Error::new("D1001").with("value", number::to_text(number));
        let text = match &self.primary {
            Primary::Letters(case) => case.apply(&numeral::to_letters(size, 'a')),
            Primary::Roman(case) => case.apply(&numeral::to_roman(size).ok_or_else(too_large)?),
            Primary::Words(case) => {
                case.apply(&words::to_words(size, self.ordinal).ok_or_else(too_large)?)
            }
            Primary::Decimal(decimal) => decimal.format(size, self.ordinal)?,
            Primary::Sequence(token) => return Err(unknown(token)),
        };
        Ok(if number < 0.0 {
            format!("-{text}")
        } else {
            text
        })
    }

    /// The number that a text says; `None` if it says none.
    pub(crate) fn parse_text(&self, text: &str) -> Result<Option<f64>> {
        Ok(match &self.primary {
            Primary::Letters(case) => {
                let first = if *case == Case::Upper { 'A' } else { 'a' };
                Some(numeral::from_letters(text, first))
            }
            Primary::Roman(Case::Upper) => numeral::from_roman(text),
            Primary::Roman(_) => numeral::from_roman(&text.to_uppercase()),
            Primary::Words(_) => words::from_words(&text.to_lowercase()),
            Primary::Decimal(decimal) => decimal.parse_text(text, self.ordinal),
            Primary::Sequence(token) => return Err(unknown(token)),
        })
    }
}

fn unknown(token: &str) -> Error {
    Error::new("D3130").with("value", token)
}

impl Decimal {
    /// `None` where the picture has no digit.
    fn parse(picture: &str) -> Result<Option<Self>> {
        let mut zero = None;
        let (mut mandatory, mut optional) = (0, 0);
        let mut separators: Vec<(usize, char)> = Vec::new();
        for c in picture.chars().rev() {
            let code = u32::from(c);
            match ZEROS
                .into_iter()
                .find(|zero| (*zero..*zero + 10).contains(&code))
            {
                Some(family) if *zero.get_or_insert(family) != family => {
                    return Err(Error::new("D3131"));
                }
                Some(_) => mandatory += 1,
                None if c == '#' => optional += 1,
                None => separators.push((mandatory + optional, c)),
            }
        }
        let Some(zero) = zero else { return Ok(None) };
        let positions: Vec<usize> = separators.iter().map(|(at, _)| *at).collect();
        let every = match separators.first() {
            Some(&(_, sign)) if separators.iter().all(|(_, other)| *other == sign) => {
                regular_distance(&positions).map(|distance| (distance, sign))
            }
            _ => None,
        };
        Ok(Some(Self {
            zero,
            mandatory,
            optional,
            separators,
            every,
        }))
    }

    fn format(&self, number: f64, ordinal: bool) -> Result<String> {
        let digits = number::to_text(number);
        if self.mandatory > 1000 {
            return Err(Error::new("D1001").with("value", self.mandatory));
        }
        let padded = format!("{digits:0>width$}", width = self.mandatory);
        let mut text: Vec<char> = padded
            .chars()
            .map(|c| match c.to_digit(10) {
                Some(digit) => char::from_u32(self.zero + digit).unwrap_or(c),
                None => c,
            })
            .collect();
        let count = text.len();
        let regular = self.every.map(|(distance, sign)| {
            (1..)
                .map(|n| (n * distance, sign))
                .take_while(|(at, _)| *at < count)
                .collect()
        });
        let separators: Vec<(usize, char)> = regular.unwrap_or_else(|| self.separators.clone());
        for (inserted, (at, sign)) in separators.into_iter().enumerate() {
            if at < count {
                text.insert(text.len() - at - inserted, sign);
            }
        }
        let mut text: String = text.into_iter().collect();
        if ordinal {
            text.push_str(ordinal_suffix(&text));
        }
        Ok(text)
    }

    fn parse_text(&self, text: &str, ordinal: bool) -> Option<f64> {
        let digits = if ordinal {
            text.char_indices()
                .rev()
                .nth(1)
                .map_or("", |(at, _)| &text[..at])
        } else {
            text
        };
        // The reference reads commas where the separators are regular, whatever they are.
        let is_separator = |c: char| match self.every {
            Some(_) => c == ',',
            None => self.separators.iter().any(|(_, sign)| *sign == c),
        };
        let digits: String = digits
            .chars()
            .filter(|c| !is_separator(*c))
            .map(|c| match u32::from(c).checked_sub(self.zero) {
                Some(digit @ 0..=9) => char::from_digit(digit, 10).unwrap_or(c),
                _ => c,
            })
            .collect();
        leading_integer(&digits)
    }
}

/// The integer that a text starts with, as JavaScript's `parseInt` reads it.
pub(super) fn leading_integer(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let count = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let number: f64 = unsigned[..count].parse().ok()?;
    Some(if text.starts_with('-') {
        -number
    } else {
        number
    })
}

fn ordinal_suffix(text: &str) -> &'static str {
    let mut last = text.chars().rev();
    match (last.next(), last.next()) {
        (_, Some('1')) => "th",
        (Some('1'), _) => "st",
        (Some('2'), _) => "nd",
        (Some('3'), _) => "rd",
        _ => "th",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (number, picture, text) in [
            (123.0, "0000", "0123"),
            (-3.0, "0000", "-0003"),
            (12.0, "###0;o", "12th"),
            (1_234_567.0, "#,##0", "1,234,567"),
            (1_234_567_890.0, "#:###,##0", "1234:567,890"),
            (12.0, "#:###,##0", "12"),
            (12_340.0, "###١", "١٢٣٤٠"),
            (300.0, "A", "KN"),
            (99.0, "i", "xcix"),
            (34.0, "w;o", "thirty-fourth"),
        ] {
            let parsed = Picture::parse(picture).unwrap();
            assert_eq!(parsed.format(number).unwrap(), text, "{picture}");
            if number > 0.0 {
                assert_eq!(parsed.parse_text(text).unwrap(), Some(number), "{picture}");
            }
        }
    }

    #[test]
    fn faults() {
        assert_eq!(Picture::parse("0١").unwrap_err().code(), "D3131");
        assert_eq!(
            Picture::parse("α").unwrap().format(1.0).unwrap_err().code(),
            "D3130"
        );
        assert_eq!(
            Picture::parse("i")
                .unwrap()
                .format(1e300)
                .unwrap_err()
                .code(),
            "D1001"
        );
    }
}
