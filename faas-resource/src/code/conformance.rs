//! The rules of [`CodeSource`]'s contract as tests: run them with
//! [`code_source_conformance!`](crate::code_source_conformance).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::{Digest, ErrorKind, Result};
use futures::future::{self, BoxFuture};

use super::CodeSource;

/// A source, and what it has.
#[non_exhaustive]
pub struct Fixture {
    /// The source.
    pub source: Arc<dyn CodeSource>,
    /// What it has.
    pub known: Vec<Bytes>,
    /// Where that can be brought about: a digest under which it has bytes of another digest.
    pub damaged: Option<Digest>,
    /// How long anything may take: 10 s unless it is changed.
    pub patience: Duration,
    /// What must live as long as the source.
    pub keep: Box<dyn std::any::Any + Send + Sync>,
}

impl Fixture {
    /// A source that has these, and nothing damaged.
    pub fn new(source: Arc<dyn CodeSource>, known: Vec<Bytes>) -> Self {
        Self {
            source,
            known,
            damaged: None,
            patience: Duration::from_secs(10),
            keep: Box::new(()),
        }
    }

    async fn fetch(&self, digest: &Digest) -> Result<Bytes> {
        let fetched = tokio::time::timeout(self.patience, self.source.fetch(digest)).await;
        fetched.unwrap_or_else(|_| panic!("a fetch took longer than {:?}", self.patience))
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

/// One case: takes a fresh fixture, and panics if the rule does not hold.
pub type Case = fn(Fixture) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// Every case by the name of its rule.
        pub const CASES: &[(&str, Case)] =
            &[$((stringify!($case), |fixture| Box::pin($case(fixture)))),*];
    };
}
cases! { right_bytes unknown_is_not_found fetch_again fetch_cancels }

/// Expands to one `#[tokio::test]` per rule of [`CodeSource`](crate::CodeSource)'s contract. Takes an
/// `async` closure that makes a fresh [`Fixture`](crate::code::conformance::Fixture).
#[macro_export]
macro_rules! code_source_conformance {
    ($factory:expr) => {
        $crate::code_source_conformance! { @cases $factory;
            right_bytes unknown_is_not_found fetch_again fetch_cancels
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::code::conformance::$case(($factory)().await).await;
        }
    )*};
}

/// "The bytes answered have the digest asked for; bytes that do not are an error."
pub async fn right_bytes(fixture: Fixture) {
    assert!(!fixture.known.is_empty(), "a source of nothing");
    for bytes in &fixture.known {
        let fetched = fixture.fetch(&Digest::of(bytes)).await;
        assert_eq!(fetched.expect("it has them"), bytes);
    }
    if let Some(damaged) = &fixture.damaged {
        let error = fixture.fetch(damaged).await.expect_err("they do not match");
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    }
}

/// "A digest that nobody has answers `NotFound`."
pub async fn unknown_is_not_found(fixture: Fixture) {
    let nobody = Digest::of(b"these bytes were never given to any source of code");
    let error = fixture.fetch(&nobody).await.expect_err("nobody has them");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(
        !error.message().is_empty(),
        "an error must say what is missing"
    );
}

/// "What was fetched can be fetched again, by several at once."
pub async fn fetch_again(fixture: Fixture) {
    for bytes in &fixture.known {
        let digest = Digest::of(bytes);
        let several = (0..8).map(|_| fixture.fetch(&digest));
        for fetched in future::join_all(several).await {
            assert_eq!(fetched.expect("it has them"), bytes);
        }
    }
}

/// "Dropping the future ends the fetch and disturbs no other."
pub async fn fetch_cancels(fixture: Fixture) {
    for bytes in &fixture.known {
        let digest = Digest::of(bytes);
        for polls in 0..6u32 {
            let mut other = Box::pin(fixture.fetch(&digest));
            let mut fetch = fixture.source.fetch(&digest);
            let mut done = None;
            for _ in 0..polls {
                if futures::poll!(&mut fetch).is_ready() {
                    break;
                }
                if done.is_none()
                    && let std::task::Poll::Ready(fetched) = futures::poll!(&mut other)
                {
                    done = Some(fetched);
                }
                tokio::task::yield_now().await;
            }
            drop(fetch);
            let fetched = match done {
                Some(fetched) => fetched,
                None => other.await,
            };
            assert_eq!(fetched.expect("it has them"), bytes);
        }
    }
}
