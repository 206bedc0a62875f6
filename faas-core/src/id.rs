//! Typed 128-bit ids and the [`IdSource`] that makes them.
//!
//! An id is 48 bits of wall-clock milliseconds, 32 bits that tell its source (one platform, say)
//! from others, and a 48-bit count. So ids sort by age, cost one atomic addition, and their source
//! can tell an id that it made from one that it never saw.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::error::{Error, Result, quoted};

const COUNT_BITS: u32 = 48;
const TAG_BITS: u32 = 32;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// The id with this number.
            pub const fn from_u128(number: u128) -> Self {
                Self(number)
            }

            /// The id as a number.
            pub const fn as_u128(self) -> u128 {
                self.0
            }
        }

        impl From<u128> for $name {
            fn from(number: u128) -> Self {
                Self(number)
            }
        }

        impl From<$name> for u128 {
            fn from(id: $name) -> u128 {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
                digits
                    .then(|| u128::from_str_radix(text, 16).ok())
                    .flatten()
                    .map(Self)
                    .ok_or_else(|| {
                        let message =
                            format!("{} id {} is not 32 hexadecimal digits", $what, quoted(text));
                        Error::invalid("parse id", message)
                    })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// One request to a function.
    InvocationId, "invocation";
    /// The desired state of one revision in the resource layer.
    WorkloadId, "workload";
    /// One isolated unit on one node.
    SandboxId, "sandbox";
    /// A sandbox that speaks its contract and takes invocations.
    InstanceId, "instance";
    /// One run of a workflow.
    ExecutionId, "execution";
    /// One function call in an execution.
    TaskId, "task";
    /// One decision of a component.
    DecisionId, "decision";
}

/// The number of an immutable snapshot of a function: 1, 2, 3, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevisionNumber(pub u64);

impl fmt::Display for RevisionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Makes ids, and knows those that it made.
#[derive(Debug, Clone)]
pub struct IdSource {
    clock: Arc<dyn Clock>,
    tag: u32,
    made: Arc<AtomicU64>,
}

impl IdSource {
    /// A source whose ids differ from those of every source with another `tag`; draw the tag at
    /// random (see [`IdSource::random`]) unless a test wants the same ids twice.
    pub fn new(clock: Arc<dyn Clock>, tag: u32) -> Self {
        Self {
            clock,
            tag,
            made: Arc::new(AtomicU64::new(0)),
        }
    }

    /// A source with a tag of the operating system's randomness (by way of the seeds of the
    /// standard library's hash maps).
    pub fn random(clock: Arc<dyn Clock>) -> Self {
        use std::hash::{BuildHasher, RandomState};
        let tag = RandomState::new().hash_one(0u8) as u32;
        Self::new(clock, tag)
    }

    /// A new id of any type.
    pub fn next<T: From<u128>>(&self) -> T {
        let count = u128::from(self.made.fetch_add(1, Ordering::Relaxed)) & ((1 << COUNT_BITS) - 1);
        let millis = u128::try_from(self.clock.wall().as_millisecond()).unwrap_or(0);
        let tag = u128::from(self.tag);
        T::from((millis << (TAG_BITS + COUNT_BITS)) | (tag << COUNT_BITS) | count)
    }

    /// Whether this source made `id`.
    pub fn made(&self, id: impl Into<u128>) -> bool {
        let id = id.into();
        let tag = (id >> COUNT_BITS) as u32;
        let count = (id & ((1 << COUNT_BITS) - 1)) as u64;
        tag == self.tag && count < self.made.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TokioClock;

    #[tokio::test]
    async fn a_source_knows_its_own() {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let ours = IdSource::new(clock.clone(), 1);
        let theirs = IdSource::new(clock, 2);
        let id: InvocationId = ours.next();
        assert!(ours.made(id));
        assert!(!theirs.made(id));
        assert!(!ours.made(InvocationId::from_u128(id.as_u128() + 1)));
    }

    #[tokio::test]
    async fn text_round_trips_and_garbage_is_refused() {
        let source = IdSource::random(Arc::new(TokioClock::new()));
        let id: TaskId = source.next();
        assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
        for bad in [
            "",
            "+0000000000000000000000000000000",
            "xyz",
            &"0".repeat(33),
        ] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn ids_sort_by_age_and_differ_across_threads() {
        let source = IdSource::random(Arc::new(TokioClock::new()));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let source = source.clone();
                std::thread::spawn(move || (0..500).map(|_| source.next()).collect::<Vec<TaskId>>())
            })
            .collect();
        let mut all = std::collections::BTreeSet::new();
        for thread in threads {
            let made = thread.join().unwrap();
            assert!(made.is_sorted());
            all.extend(made);
        }
        assert_eq!(all.len(), 2000);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[0-9a-fA-F+]{30,34}|.{0,80}", number: u128) {
            let _ = text.parse::<DecisionId>();
            let id = DecisionId::from_u128(number);
            proptest::prop_assert_eq!(id.to_string().parse::<DecisionId>().unwrap(), id);
        }
    }
}
