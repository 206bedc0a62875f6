//! The rules of [`NodeAgent`]'s contract as tests: run them with
//! [`node_agent_conformance!`](crate::node_agent_conformance). The suites of what only some agents
//! can do are [`assign`] and [`exec`].
//!
//! Cases drive real things (processes, containers), so they use real time, bounded by
//! [`Fixture::patience`].

pub mod assign;
mod ends;
mod ensures;
pub mod exec;
mod fixture;
mod shows;

use futures::future::BoxFuture;

pub use ends::{dies_with_us, exit_reported, start_failure, stop_ends, stop_unknown};
pub use ensures::{
    cancel_safe, ensure_moves, ensure_once, ensure_refuses_foreign, ensure_running, ensure_states,
    paused_is_frozen,
};
pub use fixture::{End, Fixture, Frozen, Killed, LeftOf};
pub use shows::{list_shows_all, watch_pushes};

#[cfg(doc)]
use super::NodeAgent;

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
    ensure_running ensure_once ensure_states ensure_moves paused_is_frozen ensure_refuses_foreign
    start_failure stop_ends stop_unknown list_shows_all exit_reported watch_pushes cancel_safe
    dies_with_us
}

/// Expands to one `#[tokio::test]` per rule of [`NodeAgent`](crate::NodeAgent)'s contract. Takes
/// an `async` closure that makes a fresh [`Fixture`](crate::agent::conformance::Fixture).
#[macro_export]
macro_rules! node_agent_conformance {
    ($factory:expr) => {
        $crate::node_agent_conformance! { @cases $factory;
            ensure_running ensure_once ensure_states ensure_moves paused_is_frozen
            ensure_refuses_foreign start_failure stop_ends stop_unknown list_shows_all
            exit_reported watch_pushes cancel_safe dies_with_us
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::agent::conformance::$case(($factory)().await).await;
        }
    )*};
}
