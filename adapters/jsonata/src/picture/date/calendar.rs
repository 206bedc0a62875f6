//! The proleptic Gregorian calendar, in UTC.

const DAY: i64 = 86_400_000;
const WEEK: i64 = 7 * DAY;

/// The times that JavaScript's dates reach, in milliseconds.
const REACH: f64 = 8.64e15;

/// A time in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    /// From 0.
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) milli: i64,
    millis: i64,
}

/// Days since 1970 of a date in the civil calendar, by Howard Hinnant's algorithm.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month < 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 10) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl Civil {
    /// `None` where the time is out of reach.
    pub(super) fn of_millis(millis: f64) -> Option<Self> {
        if !(-REACH..=REACH).contains(&millis) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is within reach")]
        let millis = millis as i64;
        let days = millis.div_euclid(DAY) + 719_468;
        let rest = millis.rem_euclid(DAY);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = (shifted + 2) % 12;
        let year = year_of_era + days.div_euclid(146_097) * 400 + i64::from(month < 2);
        Some(Self {
            year,
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            hour: rest / 3_600_000,
            minute: rest / 60_000 % 60,
            second: rest / 1000 % 60,
            milli: rest % 1000,
            millis,
        })
    }

    fn midnight(&self) -> i64 {
        self.millis - self.millis.rem_euclid(DAY)
    }

    pub(super) fn day_in_year(&self) -> i64 {
        (self.midnight() - utc(self.year, 0, 1)) / DAY + 1
    }

    /// Monday is 1.
    pub(super) fn day_of_week(&self) -> i64 {
        (self.millis.div_euclid(DAY) + 3).rem_euclid(7) + 1
    }

    pub(super) fn week_in_year(&self) -> i64 {
        let first = first_week(self.year, 0);
        if self.midnight() >= first_week(self.year + 1, 0) {
            1
        } else if self.midnight() < first {
            (self.midnight() - first_week(self.year - 1, 0)) / WEEK + 1
        } else {
            (self.midnight() - first) / WEEK + 1
        }
    }

    pub(super) fn week_in_month(&self) -> i64 {
        let first = first_week(self.year, self.month);
        if self.midnight() >= first_week(self.year, self.month + 1) {
            1
        } else if self.midnight() < first {
            (self.midnight() - first_week(self.year, self.month - 1)) / WEEK + 1
        } else {
            (self.midnight() - first) / WEEK + 1
        }
    }

    /// The year that the week belongs to.
    pub(super) fn week_year(&self) -> i64 {
        self.year + self.beside(|year| first_week(self.year + year, 0))
    }

    /// The month that the week belongs to, from 1.
    pub(super) fn week_month(&self) -> i64 {
        let month = self.month + self.beside(|month| first_week(self.year, self.month + month));
        month.rem_euclid(12) + 1
    }

    /// -1 before the start of this period, 1 from the start of the next on.
    fn beside(&self, start: impl Fn(i64) -> i64) -> i64 {
        i64::from(self.millis >= start(1)) - i64::from(self.millis < start(0))
    }
}

/// The time of a date; a month beyond the year counts on.
fn utc(year: i64, month: i64, day: i64) -> i64 {
    days_from_civil(year + month.div_euclid(12), month.rem_euclid(12), day) * DAY
}

/// When the first week of a year or a month begins: the one with the first Thursday.
fn first_week(year: i64, month: i64) -> i64 {
    let start = utc(year, month, 1);
    let weekday = (start.div_euclid(DAY) + 3).rem_euclid(7);
    if weekday > 3 {
        start + (7 - weekday) * DAY
    } else {
        start - weekday * DAY
    }
}

/// The time of parts that may go beyond their range, as JavaScript's `Date.UTC` has it: years from
/// 0 to 99 are of the twentieth century. `None` where it is out of reach.
pub(super) fn utc_of(date: [f64; 3], time: [f64; 4]) -> Option<f64> {
    if date
        .iter()
        .chain(&time)
        .any(|part| !part.is_finite() || part.abs() > 1e9)
    {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is in range")]
    let [year, month, day] = date.map(|part| part as i64);
    let year = if (0..100).contains(&year) {
        year + 1900
    } else {
        year
    };
    let first = days_from_civil(year + month.div_euclid(12), month.rem_euclid(12), 1);
    let days = (first + day - 1) as f64 * DAY as f64;
    let [hour, minute, second, milli] = time.map(f64::trunc);
    let millis = days + hour * 3_600_000.0 + minute * 60_000.0 + second * 1000.0 + milli;
    (-REACH..=REACH).contains(&millis).then_some(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for millis in [
            0_i64,
            951_782_400_000,
            1_519_999_999_999,
            -1,
            -62_167_219_200_000,
            253_402_300_799_999,
        ] {
            let civil = Civil::of_millis(millis as f64).unwrap();
            let date = [civil.year, civil.month, civil.day].map(|part| part as f64);
            let time =
                [civil.hour, civil.minute, civil.second, civil.milli].map(|part| part as f64);
            if civil.year > 99 {
                assert_eq!(utc_of(date, time), Some(millis as f64), "{civil:?}");
            }
        }
        assert_eq!(Civil::of_millis(1e16), None);
    }

    #[test]
    fn weeks() {
        // Saturday, 1 January 2005, is in the 53rd week of 2004, the fifth of that December.
        let civil = Civil::of_millis(utc(2005, 0, 1) as f64).unwrap();
        assert_eq!(
            (civil.week_in_year(), civil.week_year(), civil.day_of_week()),
            (53, 2004, 6)
        );
        assert_eq!((civil.week_in_month(), civil.week_month()), (5, 12));
        let civil = Civil::of_millis(utc(2014, 11, 31) as f64).unwrap();
        assert_eq!(
            (civil.week_in_year(), civil.week_year(), civil.day_in_year()),
            (1, 2015, 365)
        );
    }
}
