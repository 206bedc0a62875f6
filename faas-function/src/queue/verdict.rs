//! What follows from an attempt: a pure function of the request, what came of it, the time and
//! chance.

use std::time::Duration;

use faas_core::{Error, FunctionError, Retry, SeededRandom};
use jiff::Timestamp;

use super::item::Item;

/// Requests lead to requests by way of destinations; a circle of them ends here.
pub(super) const HOPS: u32 = 16;

/// What came of one attempt.
#[derive(Debug)]
pub(super) enum Attempt {
    Succeeded,
    /// The function failed.
    Failed(FunctionError),
    /// The platform did.
    Refused(Error),
}

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// Again after a pause; the item says how often it has failed by now.
    Again {
        pause: Duration,
        counted: bool,
    },
    /// It has failed for good.
    Dead {
        cause: String,
    },
}

/// Judges an attempt, and writes into the item what is to be remembered of it.
pub(super) fn judge(
    item: &mut Item,
    attempt: Attempt,
    now: Timestamp,
    random: &mut SeededRandom,
) -> Verdict {
    let (error, counted, hopeless) = match attempt {
        Attempt::Succeeded => return Verdict::Done,
        Attempt::Failed(error) => (error.to_string(), true, false),
        // What was never delivered is no attempt of the function's.
        Attempt::Refused(error) => (
            error.to_string(),
            error.retry() == Retry::Ambiguous,
            error.retry() == Retry::Never,
        ),
    };
    if counted {
        item.failures = item.failures.saturating_add(1);
        item.refusals = 0;
    } else {
        item.refusals = item.refusals.saturating_add(1);
    }
    item.last_error = Some(error.clone());
    if hopeless {
        let cause = format!("trying again cannot help: {error}");
        return Verdict::Dead { cause };
    }
    if item.failures >= item.settings.attempts {
        let cause = format!(
            "all {} attempts failed, the last with {error}",
            item.failures
        );
        return Verdict::Dead { cause };
    }
    let pause = pause(item, counted, random);
    match now.checked_add(pause) {
        Ok(due) if due < item.expires => {
            item.due = Some(due);
            Verdict::Again { pause, counted }
        }
        _ => Verdict::Dead {
            cause: too_old(item, &error),
        },
    }
}

/// Why a request that was not begun is dead, if it is.
pub(super) fn expired(item: &Item, now: Timestamp) -> Option<String> {
    (now >= item.expires).then(|| {
        let last = item.last_error.as_deref();
        too_old(item, last.unwrap_or("it never had its turn"))
    })
}

fn too_old(item: &Item, last: &str) -> String {
    let age = item.expires.duration_since(item.accepted);
    format!("it got older than {age:#} before it succeeded: {last}")
}

/// Doubles with each failure; half of it is chance, so that what failed together does not come
/// again together ("equal jitter": Brooker, Exponential Backoff and Jitter, 2015).
fn pause(item: &Item, counted: bool, random: &mut SeededRandom) -> Duration {
    let failures = if counted {
        item.failures
    } else {
        item.refusals
    };
    let doubled = 1u32 << failures.saturating_sub(1).min(20);
    let settings = &item.settings;
    let longest = settings.first_pause.saturating_mul(doubled);
    let longest = longest.min(settings.longest_pause);
    longest.mul_f64(0.5 + random.fraction() / 2.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::queue::item::Place;
    use crate::queue::{Destination, QueueSettings};

    fn item() -> Item {
        Item {
            target: Destination::Function("f".parse().unwrap()),
            content_type: faas_core::ContentType::TEXT,
            place: Place::Nowhere,
            attributes: Default::default(),
            caller: Default::default(),
            trace: None,
            idempotency_key: Arc::from("key"),
            accepted: Timestamp::UNIX_EPOCH,
            expires: Timestamp::from_second(1000).unwrap(),
            failures: 0,
            refusals: 0,
            due: None,
            last_error: None,
            hops: 0,
            settings: QueueSettings::default(),
        }
    }

    fn failed() -> Attempt {
        Attempt::Failed(FunctionError::new("Broken", "as always"))
    }

    #[test]
    fn pauses_double_with_jitter_until_the_attempts_are_used_up() {
        let (mut item, mut random) = (item(), SeededRandom::new(1));
        let now = Timestamp::UNIX_EPOCH;
        for base in [1.0, 2.0] {
            let Verdict::Again { pause, counted } = judge(&mut item, failed(), now, &mut random)
            else {
                panic!("it has attempts left")
            };
            assert!(
                counted && (base / 2.0..=base).contains(&pause.as_secs_f64()),
                "{pause:?}"
            );
        }
        let verdict = judge(&mut item, failed(), now, &mut random);
        assert!(matches!(verdict, Verdict::Dead { cause } if cause.contains("all 3 attempts")));
    }

    #[test]
    fn refusals_count_no_attempt_and_hopeless_ones_end_it() {
        let (mut item, mut random) = (item(), SeededRandom::new(1));
        for _ in 0..20 {
            let refused = Attempt::Refused(Error::unavailable("invoke", "no node"));
            let verdict = judge(&mut item, refused, Timestamp::UNIX_EPOCH, &mut random);
            assert!(
                matches!(verdict, Verdict::Again { counted: false, pause } if pause <= item.settings.longest_pause)
            );
        }
        assert_eq!(item.failures, 0);
        let gone = Attempt::Refused(Error::not_found("invoke", "no function"));
        let verdict = judge(&mut item, gone, Timestamp::UNIX_EPOCH, &mut random);
        assert!(matches!(verdict, Verdict::Dead { .. }));
    }

    #[test]
    fn too_old_is_dead() {
        let (mut item, mut random) = (item(), SeededRandom::new(1));
        let late = Timestamp::from_second(999).unwrap() + Duration::from_millis(999);
        let verdict = judge(&mut item, failed(), late, &mut random);
        assert!(matches!(verdict, Verdict::Dead { cause } if cause.contains("older than")));
        assert!(expired(&item, late).is_none());
        assert!(expired(&item, item.expires).is_some());
    }
}
