//! [`Backoff`]: how long to wait before what failed is tried again.

use std::time::Duration;

use faas_core::Clock;

/// The first pause and the longest: doubled with each failure in a row, so that what is broken does
/// not spin, and what is mended is soon noticed.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// The pauses between attempts.
#[derive(Debug, Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    /// The pause after so many failures in a row.
    pub(crate) fn after(failures: u32) -> Duration {
        let doubled = 1 << failures.saturating_sub(1).min(16);
        PAUSES.0.saturating_mul(doubled).min(PAUSES.1)
    }

    /// It has worked: the next pause is the first again.
    pub(crate) fn reset(&mut self) {
        self.0 = 0;
    }

    /// Waits once more.
    pub(crate) async fn pause(&mut self, clock: &dyn Clock) {
        self.0 = self.0.saturating_add(1);
        clock.sleep_until(clock.now() + Self::after(self.0)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let millis = |failures| Backoff::after(failures).as_millis();
        assert_eq!([0, 1, 2, 3].map(millis), [100, 100, 200, 400]);
        assert_eq!([9, 10, u32::MAX].map(millis), [25_600, 30_000, 30_000]);
    }
}
