//! What every policy is given: the time, and a seeded source of randomness.
//!
//! Policies (R3, F6, W3, the queue and the pick inside F5) are deterministic state machines
//! without I/O, clock or lock, so that the same object can run live, in a simulator, or in shadow
//! beside the active one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use crate::clock::Monotonic;

/// The surroundings of one decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PolicyContext {
    /// The time.
    pub now: Monotonic,
    /// Randomness that a replay repeats.
    pub random: SeededRandom,
}

impl PolicyContext {
    /// The surroundings of a decision at `now`.
    pub const fn new(now: Monotonic, random: SeededRandom) -> Self {
        Self { now, random }
    }

    /// Asks a policy, with `random` as it goes on from question to question.
    ///
    /// # Errors
    /// What the policy panicked with. It is the application's, and so is its state, whatever is left
    /// of that: who asks goes on without an answer, and may ask again.
    pub fn ask<T>(
        now: Monotonic,
        random: &mut SeededRandom,
        question: impl FnOnce(&mut Self) -> T,
    ) -> std::thread::Result<T> {
        let mut context = Self::new(now, *random);
        let answer = catch_unwind(AssertUnwindSafe(|| question(&mut context)));
        *random = context.random;
        answer
    }
}

/// A small deterministic generator: `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom
/// Number Generators, OOPSLA 2014). Not for secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeededRandom(u64);

impl SeededRandom {
    /// A generator that repeats itself for the same seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to and without `bound`; zero if `bound` is zero.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// A fraction from 0 up to and without 1.
    pub const fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_panics_gives_no_answer_and_randomness_goes_on() {
        let mut random = SeededRandom::new(7);
        let asked = PolicyContext::ask(Monotonic::ZERO, &mut random, |context| {
            context.random.next_u64();
            panic!("it is a bad policy");
        });
        let asked: std::thread::Result<()> = asked;
        assert_eq!(
            crate::panic_message(&*asked.unwrap_err()),
            "it is a bad policy"
        );
        let mut other = SeededRandom::new(7);
        other.next_u64();
        let next = PolicyContext::ask(Monotonic::ZERO, &mut random, |context| {
            context.random.next_u64()
        });
        assert_eq!(next.unwrap(), other.next_u64());
        assert_eq!(random, other);
    }

    #[test]
    fn repeats_for_a_seed_and_stays_in_bounds() {
        let (mut a, mut b) = (SeededRandom::new(7), SeededRandom::new(7));
        for _ in 0..1000 {
            assert_eq!(a.next_u64(), b.next_u64());
            assert!(a.below(10) < 10 && b.below(10) < 10);
            assert!((0.0..1.0).contains(&a.fraction()) && b.fraction() < 1.0);
        }
        assert_eq!(a.below(0), 0);
    }
}
