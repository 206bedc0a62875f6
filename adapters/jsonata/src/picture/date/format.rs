//! Times to texts.

use std::sync::LazyLock;

use crate::error::{Error, Result};
use crate::picture::integer::{Case, Picture, Primary, leading_integer};
use crate::value::number;

use super::calendar::Civil;
use super::spec::{self, Marker, Part};
use super::{DAYS, MONTHS};

/// The format of ISO 8601.
static ISO: LazyLock<Vec<Part>> = LazyLock::new(|| {
    spec::parse("[Y0001]-[M01]-[D01]T[H01]:[m01]:[s01].[f001][Z01:01t]").unwrap_or_default()
});

/// A time, in milliseconds since 1970, by a picture, or as ISO 8601 has it, in a time zone `±hhmm`.
pub(crate) fn format(millis: f64, picture: Option<&str>, zone: Option<&str>) -> Result<String> {
    let read;
    let parts = match picture {
        Some(picture) => {
            read = spec::parse(picture)?;
            &read
        }
        None => &*ISO,
    };
    let zone = zone
        .and_then(leading_integer)
        .unwrap_or(0.0)
        .clamp(-9999.0, 9999.0);
    let zone = Zone {
        hours: (zone / 100.0).trunc(),
        minutes: zone % 100.0,
    };
    let local = millis + (zone.hours * 60.0 + zone.minutes) * 60_000.0;
    let time = Civil::of_millis(local)
        .ok_or_else(|| Error::new("D4005").with("value", number::to_text(millis)))?;
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Marker(marker) => text.push_str(&component(&time, &zone, marker)?),
        }
    }
    Ok(text)
}

/// An offset from UTC.
struct Zone {
    hours: f64,
    minutes: f64,
}

fn component(time: &Civil, zone: &Zone, marker: &Marker) -> Result<String> {
    match marker.component {
        'Z' | 'z' => return offset(zone, marker),
        'P' => {
            let half = if time.hour >= 12 { "pm" } else { "am" };
            let case = marker
                .names
                .filter(|case| *case == Case::Upper)
                .unwrap_or(Case::Lower);
            return Ok(case.apply(half));
        }
        'C' | 'E' => return Ok("ISO".to_owned()),
        _ => {}
    }
    let mut value = number_of(time, marker.component).unwrap_or(0);
    if marker.component == 'Y'
        && let Some(modulus) = marker
            .year_digits
            .and_then(|digits| 10_i64.checked_pow(u32::try_from(digits).unwrap_or(u32::MAX)))
    {
        value %= modulus;
    }
    if let Some(case) = marker.names {
        return name(value, case, marker);
    }
    match &marker.integer {
        Some(integer) => integer.format(value as f64),
        None => Ok(value.to_string()),
    }
}

/// The component as a number, if it is one.
pub(super) fn number_of(time: &Civil, component: char) -> Option<i64> {
    Some(match component {
        'Y' => time.year,
        'M' => time.month + 1,
        'D' => time.day,
        'd' => time.day_in_year(),
        'F' => time.day_of_week(),
        'W' => time.week_in_year(),
        'w' => time.week_in_month(),
        'X' => time.week_year(),
        'x' => time.week_month(),
        'H' => time.hour,
        'h' => (time.hour + 11) % 12 + 1,
        'm' => time.minute,
        's' => time.second,
        'f' => time.milli,
        _ => return None,
    })
}

fn name(value: i64, case: Case, marker: &Marker) -> Result<String> {
    let place = usize::try_from(value - 1).unwrap_or(0);
    let name = match marker.component {
        'M' | 'x' => MONTHS.get(place),
        'F' => DAYS.get(place),
        other => return Err(Error::new("D3133").with("value", other.to_string())),
    };
    let name = case.apply(name.copied().unwrap_or_default());
    Ok(match marker.longest {
        Some(longest) => name.chars().take(longest).collect(),
        None => name,
    })
}

fn offset(zone: &Zone, marker: &Marker) -> Result<String> {
    let offset = zone.hours * 100.0 + zone.minutes;
    if offset == 0.0 && marker.traditional {
        return Ok("Z".to_owned());
    }
    let Some((picture, Primary::Decimal(decimal))) = marker
        .integer
        .as_ref()
        .map(|picture| (picture, &picture.primary))
    else {
        return Err(Error::new("D3134"));
    };
    let text = match decimal.mandatory {
        _ if decimal.every.is_some() => picture.format(offset)?,
        1 | 2 => {
            let hours = picture.format(zone.hours)?;
            let minutes = zone.minutes.abs();
            if minutes == 0.0 {
                hours
            } else {
                format!("{hours}:{}", Picture::parse("00")?.format(minutes)?)
            }
        }
        3 | 4 => picture.format(offset)?,
        digits => return Err(Error::new("D3134").with("value", digits)),
    };
    let sign = if offset >= 0.0 { "+" } else { "" };
    let before = if marker.component == 'z' { "GMT" } else { "" };
    Ok(format!("{before}{sign}{text}"))
}
