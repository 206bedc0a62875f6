//! Roman numerals, and letters that count as spreadsheets count columns.

const ROMAN: [(u32, &str); 13] = [
    (1000, "m"),
    (900, "cm"),
    (500, "d"),
    (400, "cd"),
    (100, "c"),
    (90, "xc"),
    (50, "l"),
    (40, "xl"),
    (10, "x"),
    (9, "ix"),
    (5, "v"),
    (4, "iv"),
    (1, "i"),
];

/// How long a numeral may be; each letter `m` is a thousand.
const LONGEST: usize = 10_000;

/// The number in small letters; `None` if it would be too long.
pub(super) fn to_roman(number: f64) -> Option<String> {
    let mut rest = number;
    let mut text = String::new();
    for (value, letters) in ROMAN {
        while rest >= f64::from(value) {
            text.push_str(letters);
            rest -= f64::from(value);
            if text.len() > LONGEST {
                return None;
            }
        }
    }
    Some(text)
}

/// The number of a numeral in capital letters.
pub(super) fn from_roman(text: &str) -> Option<f64> {
    let mut number = 0.0;
    let mut largest = 1.0;
    for letter in text.chars().rev() {
        let value = match letter {
            'M' => 1000.0,
            'D' => 500.0,
            'C' => 100.0,
            'L' => 50.0,
            'X' => 10.0,
            'V' => 5.0,
            'I' => 1.0,
            _ => return None,
        };
        if value < largest {
            number -= value;
        } else {
            largest = value;
            number += value;
        }
    }
    Some(number)
}

/// A, B, …, Z, AA, AB, …
pub(super) fn to_letters(number: f64, first: char) -> String {
    let mut letters = Vec::new();
    let mut rest = number;
    while rest > 0.0 && rest.is_finite() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below 26"
        )]
        let offset = ((rest - 1.0) % 26.0) as u8;
        letters.push(char::from(first as u8 + offset));
        rest = ((rest - 1.0) / 26.0).floor();
    }
    letters.into_iter().rev().collect()
}

pub(super) fn from_letters(text: &str, first: char) -> f64 {
    text.chars().fold(0.0, |number, letter| {
        number * 26.0 + f64::from(u32::from(letter)) - f64::from(u32::from(first)) + 1.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for number in [
            1.0, 4.0, 9.0, 26.0, 27.0, 99.0, 300.0, 1984.0, 3999.0, 123_456.0,
        ] {
            let roman = to_roman(number).unwrap();
            assert_eq!(from_roman(&roman.to_uppercase()), Some(number));
            assert_eq!(from_letters(&to_letters(number, 'a'), 'a'), number);
        }
        assert_eq!(to_roman(1984.0).unwrap(), "mcmlxxxiv");
        assert_eq!(to_roman(1e15), None);
        assert_eq!(to_letters(123_456.0, 'A'), "FZPH");
    }
}
