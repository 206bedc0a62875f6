//! [`Window`]: averages of a number over the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

use faas_core::Monotonic;
use serde::{Deserialize, Serialize};

const SECOND: u64 = 1_000_000_000;

/// What a number was over time: its integral by seconds, so that the memory is bounded by the
/// length and not by how often the number changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    /// For how many seconds it remembers.
    length: u64,
    value: u32,
    /// Up to when the integral goes.
    at: Monotonic,
    began: Monotonic,
    /// The second, and the number × nanoseconds within it.
    seconds: VecDeque<(u64, u64)>,
}

impl Window {
    /// Nothing yet.
    pub(super) fn new(length: Duration, now: Monotonic) -> Self {
        Self {
            length: length.as_secs().max(1),
            value: 0,
            at: now,
            began: now,
            seconds: VecDeque::new(),
        }
    }

    /// From `now` on it is `value`.
    pub(super) fn set(&mut self, now: Monotonic, value: u32) {
        self.advance(now);
        self.value = value;
    }

    /// Whether it was zero for as long as it remembers.
    pub(super) fn is_quiet(&self) -> bool {
        self.value == 0 && self.seconds.iter().all(|(_, area)| *area == 0)
    }

    /// The average over the last `span`, or since it began if that is shorter, but over no less
    /// than a second, so that one short call does not count as a lasting load.
    pub(super) fn average(&self, span: Duration) -> f64 {
        let current = self.at.as_nanos() / SECOND;
        let first = (current + 1).saturating_sub(span.as_secs().max(1));
        let inside = self.seconds.iter().filter(|(second, _)| *second >= first);
        let area: f64 = inside.map(|(_, area)| *area as f64).sum();
        let since = self.began.as_nanos().max(first * SECOND);
        let elapsed = self.at.as_nanos().saturating_sub(since).max(SECOND);
        area / elapsed as f64
    }

    /// Continues the integral up to `now`.
    pub(super) fn advance(&mut self, now: Monotonic) {
        let end = now.as_nanos();
        let kept_from = (end / SECOND + 1).saturating_sub(self.length);
        let mut start = self.at.as_nanos().max(kept_from * SECOND);
        while start < end {
            let second = start / SECOND;
            let stop = end.min((second + 1).saturating_mul(SECOND));
            self.put(second, u64::from(self.value) * (stop - start));
            start = stop;
        }
        self.at = self.at.max(now);
        while self.seconds.front().is_some_and(|(s, _)| *s < kept_from) {
            self.seconds.pop_front();
        }
    }

    /// From `since` until now not `value` held but an area of `actual`, evenly.
    pub(super) fn amend(&mut self, since: Monotonic, value: u32, actual: Duration) {
        let (since, at) = (since.as_nanos(), self.at.as_nanos());
        let span = u128::from(at.saturating_sub(since));
        for (second, area) in self.seconds.iter_mut().rev() {
            let (start, end) = (*second * SECOND, (*second + 1) * SECOND);
            let inside = end.min(at).saturating_sub(start.max(since));
            if inside == 0 {
                break;
            }
            let share = actual.as_nanos().saturating_mul(u128::from(inside)) / span;
            let share = u64::try_from(share).unwrap_or(u64::MAX);
            let assumed = u64::from(value).saturating_mul(inside);
            *area = area.saturating_sub(assumed).saturating_add(share);
        }
    }

    fn put(&mut self, second: u64, area: u64) {
        match self.seconds.back_mut() {
            Some((last, sum)) if *last == second => *sum += area,
            _ => self.seconds.push_back((second, area)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn averages_over_spans_and_forgets() {
        let mut window = Window::new(Duration::from_secs(60), at(0));
        window.set(at(0), 4);
        window.set(at(500), 0);
        window.advance(at(2_000));
        assert!((window.average(Duration::from_secs(60)) - 1.0).abs() < 1e-9);
        window.advance(at(5_900_000));
        assert!(window.is_quiet() && window.seconds.len() <= 60);
        assert!(window.average(Duration::from_secs(60)).abs() < 1e-9);
    }

    #[test]
    fn what_was_assumed_is_amended_by_what_was() {
        let mut window = Window::new(Duration::from_secs(60), at(0));
        // One waits all the time, and one is assumed to run from 500 ms on.
        window.set(at(0), 1);
        window.set(at(500), 2);
        window.advance(at(2_500));
        window.amend(at(500), 1, Duration::from_millis(200));
        let area: u64 = window.seconds.iter().map(|(_, area)| area).sum();
        assert_eq!(area, 2_700_000_000);
        let first = window.seconds.front().map(|(_, area)| *area);
        assert_eq!(first, Some(1_050_000_000), "evenly");
        window.amend(at(2_500), 1, Duration::from_secs(9));
        let after: u64 = window.seconds.iter().map(|(_, area)| area).sum();
        assert_eq!(after, area, "no time has passed");
    }

    #[test]
    fn a_short_call_is_no_lasting_load() {
        let mut window = Window::new(Duration::from_secs(60), at(10));
        window.set(at(10), 1);
        window.set(at(110), 0);
        assert!(window.average(Duration::from_secs(6)) < 0.11);
    }
}
