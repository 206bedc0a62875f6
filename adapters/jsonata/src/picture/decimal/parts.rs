//! The parts of a sub-picture (F&O 4.7.3 and 4.7.4).

use crate::error::{Error, Result};

use super::super::regular_distance;
use super::{Format, is};

/// How many digits a part of a picture may ask for, as in JavaScript.
const MOST_DIGITS: usize = 100;

/// What a sub-picture asks for.
#[derive(Clone, Debug)]
pub(super) struct SubPicture {
    pub(super) prefix: String,
    pub(super) suffix: String,
    /// 100 where there is a percent sign, 1,000 where there is a per-mille sign.
    pub(super) factor: f64,
    /// How many digits are behind each separator of the integer part.
    pub(super) integer_groups: Vec<usize>,
    pub(super) integer_every: Option<usize>,
    /// How many digits are before each separator of the fraction.
    pub(super) fraction_groups: Vec<usize>,
    pub(super) least_integer: usize,
    pub(super) scaling: usize,
    pub(super) least_fraction: usize,
    pub(super) most_fraction: usize,
    pub(super) least_exponent: usize,
    pub(super) has_point: bool,
}

/// A sub-picture cut into its parts.
struct Parts<'p> {
    whole: &'p str,
    prefix: &'p str,
    suffix: &'p str,
    active: &'p str,
    mantissa: &'p str,
    exponent: Option<&'p str>,
    integer: &'p str,
    fraction: &'p str,
}

pub(super) fn analyse(picture: &str, format: &Format) -> Result<SubPicture> {
    let parts = cut(picture, format);
    if let Some(code) = fault(&parts, format) {
        return Err(Error::new(code));
    }
    let count = |part: &str, fits: &dyn Fn(char) -> bool| part.chars().filter(|c| fits(*c)).count();
    let mandatory = |part: &str| count(part, &|c| format.in_family(c));
    let digits = |part: &str| count(part, &|c| format.is_digit(c));
    let separators = |part: &str, behind: bool| -> Vec<usize> {
        let found = part.match_indices(format.grouping_separator.as_str());
        found
            .map(|(at, _)| digits(if behind { &part[at..] } else { &part[..at] }))
            .collect()
    };
    let mut least_integer = mandatory(parts.integer);
    let scaling = least_integer;
    let mut least_fraction = mandatory(parts.fraction);
    let mut most_fraction = digits(parts.fraction);
    let has_exponent = parts.exponent.is_some();
    if least_integer == 0 && most_fraction == 0 {
        if has_exponent {
            least_fraction = 1;
            most_fraction = 1;
        } else {
            least_integer = 1;
        }
    }
    if has_exponent && least_integer == 0 && parts.integer.chars().any(|c| is(&format.digit, c)) {
        least_integer = 1;
    }
    if least_integer == 0 && least_fraction == 0 {
        least_fraction = 1;
    }
    let least_exponent = parts.exponent.map_or(0, mandatory);
    for count in [least_integer, least_fraction, most_fraction, least_exponent] {
        if count > MOST_DIGITS {
            return Err(Error::new("D1001").with("value", count));
        }
    }
    let integer_groups = separators(parts.integer, true);
    let contains = |sign: &str| !sign.is_empty() && picture.contains(sign);
    Ok(SubPicture {
        prefix: parts.prefix.to_owned(),
        suffix: parts.suffix.to_owned(),
        factor: if contains(&format.percent) {
            100.0
        } else if contains(&format.per_mille) {
            1000.0
        } else {
            1.0
        },
        integer_every: regular_distance(&integer_groups),
        integer_groups,
        fraction_groups: separators(parts.fraction, false),
        least_integer,
        scaling,
        least_fraction,
        most_fraction,
        least_exponent,
        has_point: contains(&format.decimal_separator),
    })
}

fn cut<'p>(whole: &'p str, format: &Format) -> Parts<'p> {
    let stands = |c: char| format.is_active(c) && !is(&format.exponent_separator, c);
    let prefix = whole.find(stands).map_or("", |at| &whole[..at]);
    let suffix = match whole.rfind(stands) {
        Some(at) => {
            let next = whole[at..].chars().next().map_or(at, |c| at + c.len_utf8());
            &whole[next..]
        }
        None => "",
    };
    let active = &whole[prefix.len()..whole.len() - suffix.len()];
    let separated = |text: &'p str, by: &str| {
        if by.is_empty() {
            None
        } else {
            text.split_once(by)
        }
    };
    let (mantissa, exponent) = match separated(active, &format.exponent_separator) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (active, None),
    };
    let (integer, fraction) =
        separated(mantissa, &format.decimal_separator).unwrap_or((mantissa, ""));
    Parts {
        whole,
        prefix,
        suffix,
        active,
        mantissa,
        exponent,
        integer,
        fraction,
    }
}

/// Whether the sign of an exponent ends the number, and no digit follows.
fn exponent_is_cut_off(parts: &Parts<'_>, format: &Format) -> bool {
    let sign = format.exponent_separator.as_str();
    parts.exponent.is_none() && !sign.is_empty() && parts.suffix.starts_with(sign)
}

/// What is wrong with a sub-picture: of several faults the last in this order, as in the reference.
fn fault(parts: &Parts<'_>, format: &Format) -> Option<&'static str> {
    let whole = parts.whole;
    let times = |sign: &str| {
        if sign.is_empty() {
            0
        } else {
            whole.matches(sign).count()
        }
    };
    let (percent, per_mille) = (times(&format.percent), times(&format.per_mille));
    let points = times(&format.decimal_separator);
    let grouping = format.grouping_separator.as_str();
    let near_point = || {
        let pairs = [
            format!("{}{grouping}", format.decimal_separator),
            format!("{grouping}{}", format.decimal_separator),
        ];
        pairs.iter().any(|pair| whole.contains(pair.as_str()))
    };
    let optional_after_mandatory = parts
        .integer
        .find(format.digit.as_str())
        .is_some_and(|at| parts.integer[..at].chars().any(|c| format.in_family(c)));
    let mandatory_after_optional = parts
        .fraction
        .rfind(format.digit.as_str())
        .is_some_and(|at| parts.fraction[at..].chars().any(|c| format.in_family(c)));
    let bad_exponent =
        |exponent: &str| exponent.is_empty() || exponent.chars().any(|c| !format.in_family(c));
    let rules = [
        (points > 1, "D3081"),
        (percent > 1, "D3082"),
        (per_mille > 1, "D3083"),
        (percent > 0 && per_mille > 0, "D3084"),
        (!parts.mantissa.chars().any(|c| format.is_digit(c)), "D3085"),
        (parts.active.chars().any(|c| !format.is_active(c)), "D3086"),
        (points > 0 && near_point(), "D3087"),
        (
            points == 0 && !grouping.is_empty() && parts.integer.ends_with(grouping),
            "D3088",
        ),
        (
            !grouping.is_empty() && whole.contains(&grouping.repeat(2)),
            "D3089",
        ),
        (optional_after_mandatory, "D3090"),
        (mandatory_after_optional, "D3091"),
        (
            parts.exponent.is_some_and(|e| !e.is_empty()) && percent + per_mille > 0,
            "D3092",
        ),
        (
            parts.exponent.is_some_and(bad_exponent) || exponent_is_cut_off(parts, format),
            "D3093",
        ),
    ];
    rules
        .into_iter()
        .rev()
        .find(|(broken, _)| *broken)
        .map(|(_, code)| code)
}
