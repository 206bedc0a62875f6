//! Pictures of times, read.

use crate::error::{Error, Result};
use crate::picture::integer::{Case, Picture, Primary};

/// A piece of a picture.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Literal(String),
    Marker(Marker),
}

/// What stands between brackets.
#[derive(Clone, Debug)]
pub(super) struct Marker {
    pub(super) component: char,
    /// The component is written as a name.
    pub(super) names: Option<Case>,
    pub(super) integer: Option<Picture>,
    pub(super) longest: Option<usize>,
    /// How many digits of a year are written; all of them if `None`.
    pub(super) year_digits: Option<usize>,
    /// `t` stands behind the presentation.
    pub(super) traditional: bool,
    /// How many digits are read, where another number follows at once.
    pub(super) digits_read: Option<usize>,
}

/// The components that are numbers.
const NUMERIC: &str = "YMDdFWwXxHhmsf";

pub(super) fn parse(picture: &str) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = picture;
    while let Some(at) = rest.find('[') {
        literal(&rest[..at], &mut parts);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("[[") {
            parts.push(Part::Literal("[".to_owned()));
            rest = after;
            continue;
        }
        let end = rest.find(']').ok_or_else(|| Error::new("D3135"))?;
        let text: String = rest[1..end]
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect();
        let marker = Marker::parse(&text)?;
        if marker.integer.is_some()
            && NUMERIC.contains(marker.component)
            && let Some(Part::Marker(before)) = parts.last_mut()
            && let Some(Primary::Decimal(decimal)) = before.integer.as_ref().map(|i| &i.primary)
        {
            before.digits_read = Some(decimal.mandatory);
        }
        parts.push(Part::Marker(marker));
        rest = &rest[end + 1..];
    }
    literal(rest, &mut parts);
    Ok(parts)
}

fn literal(text: &str, parts: &mut Vec<Part>) {
    if !text.is_empty() {
        parts.push(Part::Literal(text.replace("]]", "]")));
    }
}

/// How a component is written where the picture does not say.
fn default_presentation(component: char) -> Option<&'static str> {
    match component {
        'Y' | 'M' | 'D' | 'd' | 'W' | 'w' | 'X' | 'x' | 'H' | 'h' | 'f' => Some("1"),
        'F' | 'P' | 'C' | 'E' => Some("n"),
        'm' | 's' => Some("01"),
        'Z' | 'z' => Some("01:01"),
        _ => None,
    }
}

impl Marker {
    fn parse(text: &str) -> Result<Self> {
        let mut chars = text.chars();
        let component = chars.next().unwrap_or('\0');
        let rest = chars.as_str();
        let (presentation, width) = match rest.rsplit_once(',') {
            Some((presentation, width)) => (presentation, Some(width)),
            None => (rest, None),
        };
        let (least, longest) = width.map_or((None, None), widths);
        let unknown =
            || Error::new("D3132").with("value", text.chars().take(1).collect::<String>());
        let usual = default_presentation(component).ok_or_else(unknown)?;
        let (first, second) = match presentation.char_indices().last() {
            None => (usual, None),
            Some((at @ 1.., modifier @ ('a' | 't' | 'c' | 'o'))) => {
                (&presentation[..at], Some(modifier))
            }
            Some(_) => (presentation, None),
        };
        let names = match first.as_bytes() {
            [b'n', ..] => Some(Case::Lower),
            [b'N', b'n', ..] => Some(Case::Title),
            [b'N', ..] => Some(Case::Upper),
            _ => None,
        };
        let mut marker = Self {
            component,
            names,
            integer: None,
            longest,
            year_digits: None,
            traditional: second == Some('t'),
            digits_read: None,
        };
        if matches!(component, 'Z' | 'z') {
            marker.integer = Some(Picture::parse(first)?);
        } else if names.is_none() && NUMERIC.contains(component) {
            let ordinal = if second == Some('o') { ";o" } else { "" };
            marker.integer = Some(Picture::parse(&format!("{first}{ordinal}"))?);
            marker.fit_width(least, longest);
        }
        Ok(marker)
    }

    fn fit_width(&mut self, least: Option<usize>, longest: Option<usize>) {
        let Some(Primary::Decimal(decimal)) = self.integer.as_mut().map(|i| &mut i.primary) else {
            self.year_digits = longest.filter(|_| self.component == 'Y');
            return;
        };
        decimal.mandatory = decimal.mandatory.max(least.unwrap_or(0));
        if self.component == 'Y' {
            self.year_digits = match longest {
                Some(longest) => {
                    decimal.mandatory = longest;
                    Some(longest)
                }
                None => Some(decimal.mandatory + decimal.optional).filter(|digits| *digits >= 2),
            };
        }
    }
}

/// The least and the greatest width.
fn widths(text: &str) -> (Option<usize>, Option<usize>) {
    let (least, longest) = text.split_once('-').unwrap_or((text, "*"));
    // No component is longer than this.
    let number = |text: &str| text.parse::<usize>().ok().map(|width| width.min(100));
    (number(least), number(longest))
}
