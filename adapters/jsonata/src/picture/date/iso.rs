//! ISO 8601, as far as JavaScript's `Date.parse` reads it.

use super::calendar::utc_of;

/// The time that a text says, in milliseconds since 1970; without a zone it is UTC. `None` where
/// the text is no such time.
pub(crate) fn parse_iso(text: &str) -> Option<f64> {
    let mut rest = Reader(text);
    let year = rest.digits(4)?;
    let month = if rest.take('-') { rest.digits(2)? } else { 1.0 };
    let day = if rest.take('-') { rest.digits(2)? } else { 1.0 };
    if !(1.0..=12.0).contains(&month) || !(1.0..=31.0).contains(&day) {
        return None;
    }
    let mut time = [0.0; 4];
    if rest.take('T') {
        time[0] = rest.digits(2)?;
        for part in &mut time[1..3] {
            if !rest.take(':') {
                return None;
            }
            *part = rest.digits(2).filter(|part| *part < 60.0)?;
        }
        if rest.take('.') {
            time[3] = rest.millis()?;
        }
        let end_of_day = time == [24.0, 0.0, 0.0, 0.0];
        if time[0] > 23.0 && !end_of_day {
            return None;
        }
    }
    let offset = rest.zone()?;
    // The months of the first century are not those of the twentieth here.
    let shifted = if year < 100.0 { year + 400.0 } else { year };
    let millis = utc_of([shifted, month - 1.0, day], time)?;
    let four_centuries = 146_097.0 * 86_400_000.0;
    let millis = if year < 100.0 {
        millis - four_centuries
    } else {
        millis
    };
    rest.0.is_empty().then_some(millis - offset * 60_000.0)
}

struct Reader<'t>(&'t str);

impl Reader<'_> {
    fn take(&mut self, sign: char) -> bool {
        match self.0.strip_prefix(sign) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn digits(&mut self, count: usize) -> Option<f64> {
        let digits = self
            .0
            .get(..count)
            .filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
        self.0 = &self.0[count..];
        digits.parse().ok()
    }

    /// A fraction of a second; what is less than a millisecond is cut off.
    fn millis(&mut self) -> Option<f64> {
        let count = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let digits = self.0[..count]
            .get(..count.min(3))
            .filter(|digits| !digits.is_empty())?;
        self.0 = &self.0[count..];
        format!("{digits:0<3}").parse().ok()
    }

    /// Minutes east of UTC.
    fn zone(&mut self) -> Option<f64> {
        if self.0.is_empty() || self.take('Z') {
            return Some(0.0);
        }
        let sign = if self.take('-') { -1.0 } else { 1.0 };
        if sign > 0.0 && !self.take('+') {
            return None;
        }
        let hours = self.digits(2).filter(|hours| *hours < 24.0)?;
        self.take(':');
        let minutes = self.digits(2).filter(|minutes| *minutes < 60.0)?;
        Some(sign * (hours * 60.0 + minutes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_date_parse_reads_them() {
        for (text, millis) in [
            ("1970-01-01T00:00:00.001Z", Some(1.0)),
            ("2018", Some(1_514_764_800_000.0)),
            ("2018-02", Some(1_517_443_200_000.0)),
            ("2018-02-03T10:00:00.1234567Z", Some(1_517_652_000_123.0)),
            ("2018-02-03T10:00:00+0530", Some(1_517_632_200_000.0)),
            ("2018-02-03T24:00:00Z", Some(1_517_702_400_000.0)),
            ("0050-01-01", Some(-60_589_296_000_000.0)),
            ("2018-13-01", None),
            ("01-02-2018", None),
            ("2018-02-03T25:00:00Z", None),
            ("2018-02-03 11:15:33", None),
            ("", None),
        ] {
            assert_eq!(parse_iso(text), millis, "{text}");
        }
    }
}
