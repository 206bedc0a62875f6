//! The rules of [`SandboxHook`]'s contract as tests: run them with
//! [`sandbox_hook_conformance!`](crate::sandbox_hook_conformance).
//!
//! Cases drive real things (sockets, files), so they use real time, bounded by
//! [`Fixture::patience`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{ErrorKind, Result, SandboxId};
use futures::future::BoxFuture;

use super::{Cookie, Prepared, Reach, ReachKind, SandboxHook};
use crate::agent::ExitCause;

/// From where a sandbox will reach us; makes what a node would make for it (a directory).
pub type ReachOf = Box<dyn Fn(SandboxId, ReachKind) -> Option<Reach> + Send + Sync>;
/// Whether a sandbox would find what it needs, as it was told in what was prepared.
pub type Reachable = Box<dyn Fn(Prepared) -> BoxFuture<'static, bool> + Send + Sync>;
/// What is left of a sandbox outside of the hook (files, listeners), given what was prepared.
pub type LeftOf = Box<dyn Fn(SandboxId, Option<Prepared>) -> Option<String> + Send + Sync>;
/// Ends a hook, which has prepared that for a sandbox, as the end of its process would; then, a hook
/// of a later life.
pub type NextLife = Box<
    dyn Fn(Arc<dyn SandboxHook>, Prepared) -> BoxFuture<'static, Arc<dyn SandboxHook>>
        + Send
        + Sync,
>;

/// A fresh hook, and what is around it.
#[non_exhaustive]
pub struct Fixture {
    /// The hook; it has prepared nothing yet.
    pub hook: Arc<dyn SandboxHook>,
    /// The kinds of reach that the node offers, and what they are.
    pub reach: ReachOf,
    /// Whether a sandbox would reach us.
    pub reachable: Reachable,
    /// What is left of a sandbox.
    pub left: LeftOf,
    /// Ends the hook, and makes that of a later life.
    pub next_life: NextLife,
    /// How long anything may take: 10 s unless it is changed.
    pub patience: Duration,
    /// What must live as long as the hook: directories, runtimes.
    pub keep: Box<dyn std::any::Any + Send + Sync>,
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

impl Fixture {
    /// A hook, and those of later lives, which `next_life` makes; it needs no reach, and leaves
    /// nothing outside of this process, unless the other fields are set.
    pub fn new(hook: Arc<dyn SandboxHook>, next_life: NextLife) -> Self {
        Self {
            hook,
            reach: Box::new(|_, _| None),
            reachable: Box::new(|_| Box::pin(async { true })),
            left: Box::new(|_, _| None),
            next_life,
            patience: Duration::from_secs(10),
            keep: Box::new(()),
        }
    }

    async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let bounded = tokio::time::timeout(self.patience, future).await;
        bounded.unwrap_or_else(|_| panic!("{what} took longer than {:?}", self.patience))
    }

    /// As a manager chooses it: of the first kind that the node offers.
    fn reach_of(&self, sandbox: SandboxId) -> Option<Reach> {
        let needs = self.hook.needs();
        let reach = needs.iter().find_map(|kind| (self.reach)(sandbox, *kind));
        assert!(
            needs.is_empty() || reach.is_some(),
            "the fixture offers nothing of {needs:?}"
        );
        reach
    }

    async fn try_prepare(&self, sandbox: SandboxId) -> Result<Prepared> {
        let prepared = self.hook.prepare(sandbox, self.reach_of(sandbox));
        self.soon("prepare", prepared).await
    }

    async fn prepare(&self, sandbox: SandboxId) -> Prepared {
        let prepared = self.try_prepare(sandbox).await;
        prepared.expect("it prepares a sandbox")
    }

    async fn release(&self, sandbox: SandboxId) {
        let released = self.hook.release(sandbox, &ExitCause::Stopped);
        self.soon("release", released).await;
    }

    async fn reaches(&self, prepared: &Prepared) -> bool {
        let reaches = (self.reachable)(prepared.clone());
        self.soon("a look at what was prepared", reaches).await
    }

    async fn nothing_left(&self, sandbox: SandboxId, prepared: Option<Prepared>) {
        let left = (self.left)(sandbox, prepared.clone());
        assert!(left.is_none(), "left of it: {}", left.unwrap_or_default());
        if let Some(prepared) = prepared.filter(|_| !self.hook.needs().is_empty()) {
            assert!(!self.reaches(&prepared).await, "it can still be reached");
        }
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
cases! {
    prepare_once refuses_reach sandboxes_are_apart release_frees cancel_safe resume_or_refuse
}

/// Expands to one `#[tokio::test]` per rule of [`SandboxHook`](crate::SandboxHook)'s contract.
/// Takes an `async` closure that makes a fresh
/// [`Fixture`](crate::hook::conformance::Fixture); put it into a module of its own.
#[macro_export]
macro_rules! sandbox_hook_conformance {
    ($factory:expr) => {
        $crate::sandbox_hook_conformance! { @cases $factory;
            prepare_once refuses_reach sandboxes_are_apart release_frees cancel_safe
            resume_or_refuse
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::hook::conformance::$case(($factory)().await).await;
        }
    )*};
}

/// Stands where the hook of an earlier life was.
struct NoHook;

#[async_trait]
impl SandboxHook for NoHook {
    fn needs(&self) -> Vec<ReachKind> {
        Vec::new()
    }
    async fn prepare(&self, _: SandboxId, _: Option<Reach>) -> Result<Prepared> {
        Ok(Prepared::default())
    }
    async fn resume(&self, _: SandboxId, _: Option<Reach>, _: &Cookie) -> Result<()> {
        Ok(())
    }
    async fn release(&self, _: SandboxId, _: &ExitCause) {}
}

const fn id(number: u128) -> SandboxId {
    SandboxId::from_u128(number)
}

/// "`prepare` of a sandbox that is prepared already answers what it answered."
pub async fn prepare_once(fixture: Fixture) {
    let first = fixture.prepare(id(1)).await;
    assert!(fixture.reaches(&first).await, "it cannot be reached");
    for _ in 0..3 {
        assert_eq!(fixture.prepare(id(1)).await, first);
    }
    let at_once = (0..4).map(|_| fixture.prepare(id(2)));
    let answers = futures::future::join_all(at_once).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    fixture.release(id(1)).await;
    fixture.release(id(2)).await;
}

/// "A reach of a kind that `needs` does not name, or none where it names some, answers
/// `Unsupported`, and nothing is left of it."
pub async fn refuses_reach(fixture: Fixture) {
    let needs = fixture.hook.needs();
    if needs.is_empty() {
        return;
    }
    let kinds = [
        ReachKind::Loopback,
        ReachKind::Gateway,
        ReachKind::Mount,
        ReachKind::Pod,
    ];
    let address = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let foreign = kinds.into_iter().filter(|kind| !needs.contains(kind));
    let foreign = foreign.map(|kind| {
        Some(match kind {
            ReachKind::Loopback => Reach::Loopback,
            ReachKind::Gateway => Reach::Gateway(address),
            ReachKind::Pod => Reach::Pod(address),
            ReachKind::Mount => Reach::Mount {
                host: std::env::temp_dir(),
                guest: std::env::temp_dir(),
            },
        })
    });
    for reach in foreign.chain([None]) {
        let refused = fixture.hook.prepare(id(1), reach);
        let error = fixture.soon("the refusal", refused).await;
        let error = error.expect_err("it cannot use that reach");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(!error.message().is_empty(), "it must say why");
        fixture.nothing_left(id(1), None).await;
    }
    fixture.prepare(id(1)).await;
    fixture.release(id(1)).await;
}

/// "Sandboxes that are prepared at once do not share what is prepared, and one's release leaves the
/// others as they are."
pub async fn sandboxes_are_apart(fixture: Fixture) {
    let (one, two) = (fixture.prepare(id(1)).await, fixture.prepare(id(2)).await);
    if !fixture.hook.needs().is_empty() {
        assert_ne!(one, two, "they share what is prepared");
    }
    fixture.release(id(1)).await;
    assert!(
        fixture.reaches(&two).await,
        "another one was released with it"
    );
    assert_eq!(fixture.prepare(id(2)).await, two);
    fixture.release(id(2)).await;
}

/// "After `release` nothing of the sandbox is left […]. Releasing an unknown sandbox is no fault,
/// and one that was released can be prepared again."
pub async fn release_frees(fixture: Fixture) {
    fixture.release(id(1)).await;
    for _ in 0..2 {
        let prepared = fixture.prepare(id(1)).await;
        assert!(fixture.reaches(&prepared).await, "it cannot be reached");
        fixture.release(id(1)).await;
        fixture.nothing_left(id(1), Some(prepared)).await;
        fixture.release(id(1)).await;
    }
}

/// "Dropping the future of `prepare` leaves nothing that `release` does not free."
pub async fn cancel_safe(fixture: Fixture) {
    for polls in 0..8_u32 {
        let sandbox = id(u128::from(polls));
        let mut prepare = fixture.hook.prepare(sandbox, fixture.reach_of(sandbox));
        for _ in 0..polls {
            if futures::poll!(prepare.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(prepare);
        fixture.release(sandbox).await;
        fixture.nothing_left(sandbox, None).await;
        let prepared = fixture.prepare(sandbox).await;
        assert!(fixture.reaches(&prepared).await, "it cannot be reached");
        fixture.release(sandbox).await;
        fixture.nothing_left(sandbox, Some(prepared)).await;
    }
}

/// "`resume` makes a sandbox that an earlier life of this process prepared reachable again, as it
/// was; or it refuses, and leaves nothing."
pub async fn resume_or_refuse(mut fixture: Fixture) {
    let prepared = fixture.prepare(id(1)).await;
    let reach = fixture.reach_of(id(1));
    let ended = std::mem::replace(&mut fixture.hook, Arc::new(NoHook));
    let next = (fixture.next_life)(ended, prepared.clone());
    fixture.hook = fixture.soon("the end of a life", next).await;
    let cookie = prepared.cookie.clone();
    let resume = fixture.hook.resume(id(1), reach, &cookie);
    match fixture.soon("resume", resume).await {
        Ok(()) => {
            assert!(fixture.reaches(&prepared).await, "it cannot be reached");
            assert_eq!(fixture.prepare(id(1)).await, prepared, "it is another one");
        }
        Err(error) => {
            assert!(!error.message().is_empty(), "it must say why");
        }
    }
    fixture.release(id(1)).await;
    fixture.nothing_left(id(1), Some(prepared)).await;
}
