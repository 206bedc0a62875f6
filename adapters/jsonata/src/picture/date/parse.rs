//! Texts to times.

use regex::{Regex, RegexBuilder};

use crate::error::{Error, Result};
use crate::picture::integer::{Picture, Primary};
use crate::picture::words;

use super::calendar::{Civil, utc_of};
use super::format::number_of;
use super::spec::{self, Marker, Part};
use super::{DAYS, MONTHS};

/// Reads times that are written by one picture.
#[derive(Debug)]
pub(crate) struct Parser {
    regex: Regex,
    /// In the order of the groups.
    markers: Vec<Marker>,
}

impl Parser {
    pub(crate) fn new(picture: &str) -> Result<Self> {
        let mut pattern = "^".to_owned();
        let mut markers = Vec::new();
        for part in spec::parse(picture)? {
            match part {
                Part::Literal(literal) => pattern.push_str(&regex::escape(&literal)),
                Part::Marker(marker) => {
                    pattern.extend(["(", pattern_of(&marker)?.as_str(), ")"]);
                    markers.push(marker);
                }
            }
        }
        pattern.push('$');
        let regex = RegexBuilder::new(&pattern).case_insensitive(true).build();
        let regex = regex.map_err(|_| Error::new("D3136"))?;
        Ok(Self { regex, markers })
    }

    /// The time that a text says, in milliseconds since 1970. What is more significant than all
    /// that the text says is as it is at `now`; what is less significant is 0. `None` where the
    /// text does not fit the picture.
    pub(crate) fn parse(&self, text: &str, now: i64) -> Result<Option<f64>> {
        let Some(captures) = self.regex.captures(text) else {
            return Ok(None);
        };
        let mut components = Components::default();
        for (index, marker) in self.markers.iter().enumerate() {
            let found = captures.get(index + 1).map_or("", |group| group.as_str());
            components.set(marker.component, value(marker, found)?);
        }
        if self.markers.is_empty() {
            return Ok(None);
        }
        components.time(now)
    }
}

fn pattern_of(marker: &Marker) -> Result<String> {
    match marker.component {
        'Z' | 'z' => {
            let before = if marker.component == 'z' { "GMT" } else { "" };
            Ok(match separator(marker) {
                Some(sign) => {
                    let sign = regex::escape(sign.encode_utf8(&mut [0; 4]));
                    format!("{before}[-+][0-9]+{sign}[0-9]+")
                }
                None => format!("{before}[-+][0-9]+"),
            })
        }
        'f' => Ok("[0-9]+".to_owned()),
        _ => match &marker.integer {
            Some(picture) => integer_pattern(picture, marker.digits_read),
            None if matches!(marker.component, 'M' | 'x' | 'F' | 'P') => Ok("[a-zA-Z]+".to_owned()),
            None => Err(Error::new("D3133").with("value", marker.component.to_string())),
        },
    }
}

fn integer_pattern(picture: &Picture, digits: Option<usize>) -> Result<String> {
    Ok(match &picture.primary {
        Primary::Letters(_) => "[a-z]+".to_owned(),
        Primary::Roman(_) => "[mdclxvi]+".to_owned(),
        Primary::Words(_) => words::pattern(),
        Primary::Decimal(_) => {
            let digits = digits.map_or_else(|| "+".to_owned(), |digits| format!("{{{digits}}}"));
            let ordinal = if picture.ordinal {
                "(?:th|st|nd|rd)"
            } else {
                ""
            };
            format!("[0-9]{digits}{ordinal}")
        }
        Primary::Sequence(token) => return Err(Error::new("D3130").with("value", token.as_str())),
    })
}

/// What separates the hours from the minutes of an offset.
fn separator(marker: &Marker) -> Option<char> {
    match marker.integer.as_ref().map(|picture| &picture.primary) {
        Some(Primary::Decimal(decimal)) => decimal.every.map(|(_, sign)| sign),
        _ => None,
    }
}

fn value(marker: &Marker, text: &str) -> Result<Option<f64>> {
    if let (Some(picture), false) = (&marker.integer, "Zzf".contains(marker.component)) {
        return picture.parse_text(text);
    }
    let named = |names: &[&str]| {
        let cut = |name: &str| {
            name.chars()
                .take(marker.longest.unwrap_or(100))
                .collect::<String>()
        };
        names
            .iter()
            .position(|name| cut(name) == text)
            .map(|at| at as f64 + 1.0)
    };
    Ok(match marker.component {
        'Z' | 'z' => Some(offset(
            marker,
            text.trim_start_matches(|c: char| c.is_alphabetic()),
        )),
        'f' => format!("0.{}", &text[..text.len().min(3)])
            .parse()
            .ok()
            .map(|f: f64| f * 1000.0),
        'M' | 'x' => named(&MONTHS),
        'F' => named(&DAYS),
        'P' if matches!(text, "am" | "AM") => Some(0.0),
        'P' if matches!(text, "pm" | "PM") => Some(1.0),
        _ => None,
    })
}

/// Minutes east of UTC of `±hh`, `±hhmm` or `±hh:mm`.
fn offset(marker: &Marker, text: &str) -> f64 {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.trim_start_matches('+')),
    };
    let (hours, minutes) = match separator(marker).and_then(|sign| digits.split_once(sign)) {
        Some(split) => split,
        None => digits.split_at(digits.len().min(2)),
    };
    let number = |text: &str| text.parse::<f64>().unwrap_or(0.0);
    sign * (number(hours) * 60.0 + number(minutes))
}

/// Year, month and day of a day of a year. One beyond the year's end begins the same year again, as
/// in the reference.
fn day_in_year(year: f64, day: f64) -> [f64; 3] {
    let found = utc_of([year, 0.0, day], [0.0; 4]).and_then(Civil::of_millis);
    let part = |component| found.as_ref().and_then(|civil| number_of(civil, component));
    match (part('M'), part('D')) {
        (Some(month), Some(day)) => [year, month as f64 - 1.0, day as f64],
        _ => [year, 0.0, day],
    }
}

/// What a text says of a time.
#[derive(Debug, Default)]
struct Components(Vec<(char, f64)>);

impl Components {
    fn set(&mut self, component: char, value: Option<f64>) {
        if let Some(value) = value {
            self.0.retain(|(known, _)| *known != component);
            self.0.push((component, value));
        }
    }

    fn get(&self, component: char) -> Option<f64> {
        self.0
            .iter()
            .find(|(known, _)| *known == component)
            .map(|(_, value)| *value)
    }

    /// Whether what is said and not 0 is some of `wanted`, and none of the `others`.
    fn is(&self, wanted: &str, others: &str) -> bool {
        let said = |c: char| self.get(c).is_some_and(|value| value != 0.0);
        wanted.chars().any(said) && !others.chars().any(said)
    }

    fn time(mut self, now: i64) -> Result<Option<f64>> {
        let by_day_of_year = self.is("Yd", "XMxWwD") && !self.is("YMD", "XxWwd");
        if self.is("Xxw", "YMWdD") || self.is("XW", "YMxwdD") {
            // Weeks say no date yet, as in the reference.
            return Err(Error::new("D3136"));
        }
        let half_days = self.is("Phmsf", "H") && !self.is("Hmsf", "Ph");
        let day_of_year = self.get('d').filter(|_| by_day_of_year);
        // The day of the year is known: the reference leaves no place for it among the others.
        let date = if by_day_of_year { "YD" } else { "YMD" };
        let time = if half_days { "Phmsf" } else { "Hmsf" };
        self.fill(date.chars().chain(time.chars()), now)?;
        let part = |component: char| self.get(component).unwrap_or(0.0);
        let hour = if half_days {
            let hour = part('h');
            (if hour == 12.0 { 0.0 } else { hour }) + part('P') * 12.0
        } else {
            part('H')
        };
        let date = match day_of_year {
            Some(day) => day_in_year(part('Y'), day),
            None => [part('Y'), (part('M') - 1.0).max(0.0), part('D')],
        };
        let millis = utc_of(date, [hour, part('m'), part('s'), part('f')]);
        let offset = self.get('Z').or_else(|| self.get('z')).unwrap_or(0.0);
        Ok(millis.map(|millis| millis - offset * 60_000.0))
    }

    /// Completes what is said from the most to the least significant; there may be no gap.
    fn fill(&mut self, components: impl Iterator<Item = char>, now: i64) -> Result<()> {
        let now = Civil::of_millis(now as f64);
        let (mut started, mut ended) = (false, false);
        for component in components {
            if self.get(component).is_some() {
                started = true;
                if ended {
                    return Err(Error::new("D3136"));
                }
            } else if started {
                ended = true;
                self.set(
                    component,
                    Some(if "MDd".contains(component) { 1.0 } else { 0.0 }),
                );
            } else if component == 'P' {
                self.set(component, Some(0.0));
            } else {
                let value = now
                    .as_ref()
                    .and_then(|now| number_of(now, component))
                    .unwrap_or(0);
                self.set(component, Some(value as f64));
            }
        }
        Ok(())
    }
}
