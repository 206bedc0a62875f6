//! Numbers in English words.

const UNITS: [(&str, &str); 20] = [
    ("Zero", "Zeroth"),
    ("One", "First"),
    ("Two", "Second"),
    ("Three", "Third"),
    ("Four", "Fourth"),
    ("Five", "Fifth"),
    ("Six", "Sixth"),
    ("Seven", "Seventh"),
    ("Eight", "Eighth"),
    ("Nine", "Ninth"),
    ("Ten", "Tenth"),
    ("Eleven", "Eleventh"),
    ("Twelve", "Twelfth"),
    ("Thirteen", "Thirteenth"),
    ("Fourteen", "Fourteenth"),
    ("Fifteen", "Fifteenth"),
    ("Sixteen", "Sixteenth"),
    ("Seventeen", "Seventeenth"),
    ("Eighteen", "Eighteenth"),
    ("Nineteen", "Nineteenth"),
];

const TENS: [(&str, &str); 8] = [
    ("Twenty", "Twentieth"),
    ("Thirty", "Thirtieth"),
    ("Forty", "Fortieth"),
    ("Fifty", "Fiftieth"),
    ("Sixty", "Sixtieth"),
    ("Seventy", "Seventieth"),
    ("Eighty", "Eightieth"),
    ("Ninety", "Ninetieth"),
];

const MAGNITUDES: [(f64, &str); 4] = [
    (1e12, "Trillion"),
    (1e9, "Billion"),
    (1e6, "Million"),
    (1e3, "Thousand"),
];

/// A whole number that is not negative, in words of which each begins with a capital letter.
pub(super) fn to_words(number: f64, ordinal: bool) -> Option<String> {
    let mut words = String::new();
    if !(0.0..f64::INFINITY).contains(&number) {
        return None;
    }
    write(number, ordinal, Lead::Nothing, &mut words);
    Some(words)
}

/// What stands before a part of a number.
#[derive(Clone, Copy, PartialEq)]
enum Lead {
    Nothing,
    /// " and " before what is less than a hundred, ", " before what is more.
    Joined,
}

fn write(number: f64, ordinal: bool, lead: Lead, words: &mut String) {
    if lead == Lead::Joined {
        words.push_str(if number < 100.0 { " and " } else { ", " });
    }
    if number < 100.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below 100"
        )]
        return small(number as usize, ordinal, words);
    }
    let (unit, name) = MAGNITUDES
        .into_iter()
        .find(|(unit, _)| number >= *unit)
        .unwrap_or((100.0, "Hundred"));
    let count = (number / unit).floor();
    let rest = number - count * unit;
    write(count, false, Lead::Nothing, words);
    words.push(' ');
    words.push_str(name);
    if rest > 0.0 {
        write(rest, ordinal, Lead::Joined, words);
    } else if ordinal {
        words.push_str("th");
    }
}

fn small(number: usize, ordinal: bool, words: &mut String) {
    let pick = |(cardinal, nth): (&'static str, &'static str), ordinal: bool| {
        if ordinal { nth } else { cardinal }
    };
    if let Some(unit) = UNITS.get(number) {
        words.push_str(pick(*unit, ordinal));
        return;
    }
    let (tens, rest) = (TENS[number / 10 - 2], number % 10);
    words.push_str(pick(tens, ordinal && rest == 0));
    if rest > 0 {
        words.push('-');
        words.push_str(pick(UNITS[rest], ordinal));
    }
}

/// The number that words in small letters say; `None` where a word is none of them.
pub(super) fn from_words(text: &str) -> Option<f64> {
    let mut segments = vec![0.0];
    for word in split(text) {
        let value = value(word)?;
        let top: f64 = segments.pop().unwrap_or(0.0);
        if value >= 100.0 {
            segments.push(top * value);
        } else if top >= 1000.0 {
            segments.extend([top, value]);
        } else {
            segments.push(top + value);
        }
    }
    Some(segments.into_iter().sum())
}

/// Words are set apart by commas, "and", space and hyphens.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| c == ',' || c == '-' || c.is_whitespace());
    words.filter(|word| !word.is_empty() && *word != "and")
}

fn value(word: &str) -> Option<f64> {
    let is = |(cardinal, nth): &(&str, &str)| {
        word.eq_ignore_ascii_case(cardinal) || word.eq_ignore_ascii_case(nth)
    };
    if let Some(unit) = UNITS.iter().position(is) {
        return Some(unit as f64);
    }
    if let Some(tens) = TENS.iter().position(is) {
        return Some((tens + 2) as f64 * 10.0);
    }
    let cardinal = word.strip_suffix("th").unwrap_or(word);
    if cardinal == "hundred" {
        return Some(100.0);
    }
    let found = MAGNITUDES
        .iter()
        .find(|(_, name)| cardinal.eq_ignore_ascii_case(name));
    found.map(|(value, _)| *value)
}

/// What a regular expression makes of numbers in words.
pub(super) fn pattern() -> String {
    let pairs = UNITS.iter().chain(&TENS);
    let mut words: Vec<String> = pairs
        .flat_map(|(cardinal, nth)| [(*cardinal).to_owned(), (*nth).to_owned()])
        .collect();
    words.extend(MAGNITUDES.iter().map(|(_, name)| format!("{name}(?:th)?")));
    format!("(?:{}|Hundred(?:th)?|and|[-, ])+", words.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (number, cardinal) in [
            (0.0, "Zero"),
            (34.0, "Thirty-Four"),
            (100.0, "One Hundred"),
            (555.0, "Five Hundred and Fifty-Five"),
            (3_730.0, "Three Thousand, Seven Hundred and Thirty"),
            (1_000_001.0, "One Million and One"),
            (1e15, "One Thousand Trillion"),
        ] {
            assert_eq!(to_words(number, false).unwrap(), cardinal);
            assert_eq!(from_words(&cardinal.to_lowercase()), Some(number));
            let ordinal = to_words(number, true).unwrap();
            assert_eq!(
                from_words(&ordinal.to_lowercase()),
                Some(number),
                "{ordinal}"
            );
        }
        assert_eq!(from_words("one apple"), None);
        assert_eq!(to_words(f64::INFINITY, false), None);
    }
}
