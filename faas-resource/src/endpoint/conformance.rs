//! The rules of [`Dial`]'s contract as tests: run them with
//! [`dial_conformance!`](crate::dial_conformance).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::ErrorKind;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Connection, Dial};

/// How many connections the far end has open.
pub type Open = Box<dyn Fn() -> BoxFuture<'static, usize> + Send + Sync>;
/// Ends the sandbox.
pub type Kill = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Something that dials a far end which answers with whatever it is told.
#[non_exhaustive]
pub struct Fixture {
    /// What dials.
    pub dial: Arc<dyn Dial>,
    /// What the far end has open.
    pub open: Open,
    /// Ends the far end.
    pub kill: Kill,
    /// How long anything may take: 10 s unless it is changed.
    pub patience: Duration,
    /// What must live as long as the far end.
    pub keep: Box<dyn std::any::Any + Send + Sync>,
}

impl Fixture {
    /// A fixture with a patience of 10 s.
    pub fn new(dial: Arc<dyn Dial>, open: Open, kill: Kill) -> Self {
        Self {
            dial,
            open,
            kill,
            patience: Duration::from_secs(10),
            keep: Box::new(()),
        }
    }

    async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let bounded = tokio::time::timeout(self.patience, future).await;
        bounded.unwrap_or_else(|_| panic!("{what} took longer than {:?}", self.patience))
    }

    async fn dial(&self) -> Box<dyn Connection> {
        let dialled = self.soon("dial", self.dial.dial()).await;
        dialled.expect("the far end lives")
    }

    async fn echo(&self, connection: &mut Box<dyn Connection>, text: &[u8]) {
        // At once: no more fits between the two than they say.
        let (mut reader, mut writer) = tokio::io::split(connection);
        let write = async {
            writer.write_all(text).await.expect("it takes bytes");
            writer.flush().await.expect("it takes bytes");
        };
        let read = async {
            let mut answer = vec![0; text.len()];
            reader
                .read_exact(&mut answer)
                .await
                .expect("it gives bytes");
            answer
        };
        let echo = async { futures::join!(write, read).1 };
        let answer = self.soon("an echo", echo).await;
        assert_eq!(answer, text, "of another connection, or out of order");
    }

    /// Waits until the far end has so many connections; nobody reports that.
    async fn until_open(&self, count: usize) {
        let poll = async {
            while (self.open)().await != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        self.soon(&format!("having {count} connections"), poll)
            .await;
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
cases! { fresh_connection drop_closes dial_cancels dead_is_unavailable }

/// Expands to one `#[tokio::test]` per rule of [`Dial`](crate::endpoint::Dial)'s contract. Takes an
/// `async` closure that makes a fresh [`Fixture`](crate::endpoint::conformance::Fixture).
#[macro_export]
macro_rules! dial_conformance {
    ($factory:expr) => {
        $crate::dial_conformance! { @cases $factory;
            fresh_connection drop_closes dial_cancels dead_is_unavailable
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::endpoint::conformance::$case(($factory)().await).await;
        }
    )*};
}

/// "Each `dial` opens a connection of its own, which carries bytes in both directions and in order."
pub async fn fresh_connection(fixture: Fixture) {
    let (mut one, mut other) = (fixture.dial().await, fixture.dial().await);
    fixture.until_open(2).await;
    for round in 0..20u8 {
        let text: Vec<_> = (0..=255)
            .cycle()
            .take(300)
            .map(|byte: u8| byte ^ round)
            .collect();
        fixture.echo(&mut one, &text).await;
        fixture.echo(&mut other, &text[100..]).await;
    }
}

/// "Dropping a connection closes it, and no other."
pub async fn drop_closes(fixture: Fixture) {
    let (mut one, other) = (fixture.dial().await, fixture.dial().await);
    fixture.until_open(2).await;
    drop(other);
    fixture.until_open(1).await;
    fixture.echo(&mut one, b"still there").await;
    drop(one);
    fixture.until_open(0).await;
}

/// "Dropping the future leaves no connection."
pub async fn dial_cancels(fixture: Fixture) {
    for polls in 0..8u32 {
        let mut dial = fixture.dial.dial();
        for _ in 0..polls {
            if let std::task::Poll::Ready(dialled) = futures::poll!(&mut dial) {
                drop(dialled.expect("the far end lives"));
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(dial);
        fixture.until_open(0).await;
    }
    let mut last = fixture.dial().await;
    fixture.echo(&mut last, b"there").await;
}

/// "Once the sandbox is gone, `dial` answers `Unavailable`, and open connections end."
pub async fn dead_is_unavailable(fixture: Fixture) {
    let mut open = fixture.dial().await;
    fixture.echo(&mut open, b"there").await;
    fixture.soon("the end", (fixture.kill)()).await;
    let mut rest = Vec::new();
    // An error is an end, too.
    let _ = fixture
        .soon("the end of a connection", open.read_to_end(&mut rest))
        .await;
    let dialled = fixture.soon("dial", fixture.dial.dial()).await;
    let error = dialled.err().expect("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}
