//! Timestamps as the language has them: RFC 3339 with an upper-case `T` and, for UTC, `Z`.

use jiff::Timestamp;

/// The moment that `text` names, if it is a timestamp.
pub fn parse(text: &str) -> Option<Timestamp> {
    is_well_formed(text).then(|| text.parse().ok()).flatten()
}

fn is_well_formed(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((date_time, rest)) = bytes.split_at_checked(19) else {
        return false;
    };
    let zone = match rest.split_first() {
        Some((b'.', rest)) => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            rest.get(digits..).unwrap_or_default()
        }
        _ => rest,
    };
    matches_pattern(date_time, b"dddd-dd-ddTdd:dd:dd")
        && (zone == b"Z" || matches_pattern(zone, b"+dd:dd") || matches_pattern(zone, b"-dd:dd"))
}

/// Whether each `d` of the pattern is a digit, and all else is as it stands.
fn matches_pattern(bytes: &[u8], pattern: &[u8]) -> bool {
    let fits = |(byte, pattern): (&u8, &u8)| match pattern {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    };
    bytes.len() == pattern.len() && bytes.iter().zip(pattern).all(fits)
}

/// As the context object shows times: UTC, milliseconds.
pub(super) fn show(at: Timestamp) -> String {
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_of_rfc_3339_is_kept() {
        for good in [
            "2016-03-14T01:59:00Z",
            "2016-03-05T21:29:29.243167252Z",
            "2012-10-09T19:00:55+01:00",
            "2012-10-09T19:00:55.1-08:30",
        ] {
            assert!(parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "2016-12-05 21:29:29Z",
            "2016-12-05T21:29:29",
            "2016-13-05T21:29:29Z",
            "2016-12-05T25:29:29Z",
            "05-12-2016T21:29:29Z",
            "2016-12-05t21:29:29Z",
            "2016-12-05T21:29:29z",
            "2016-12-05T21:29:29.Z",
            "2016-12-05T21:29:29+0100",
            "2016-12-05T21:29:29Z[UTC]",
            "2016-12-05T21:29:2\u{e9}Z",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn offsets_count() {
        let (zulu, berlin) = ("2012-10-09T18:00:55Z", "2012-10-09T19:00:55+01:00");
        assert_eq!(parse(zulu), parse(berlin));
        assert_eq!(show(parse(berlin).unwrap()), "2012-10-09T18:00:55.000Z");
    }
}
