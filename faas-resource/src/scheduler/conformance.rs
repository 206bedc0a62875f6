//! The conformance suite of [`ResourceScheduler`]: one case per rule of its contract.
//!
//! ```
//! # #[cfg(test)]
//! mod conformance {
//!     use faas_resource::scheduler::FilterScore;
//!
//!     faas_resource::resource_scheduler_conformance!(FilterScore::new);
//! }
//! ```
//!
//! The factory makes a **fresh** scheduler each time it is called; several must be alike.

mod answers;
mod places;
mod repeats;
pub mod world;

use std::fmt;

use faas_core::{Monotonic, PolicyContext, SeededRandom};
use futures::future::BoxFuture;

use super::{ClusterView, Placement, PlacementRequest, ResourceScheduler};

pub use answers::{answers_each, explains_refusals};
pub use places::{
    avoids_failures, never_overcommits, preempts_only_lower, respects_kind, respects_rules,
};
pub use repeats::{deterministic, save_restore};

/// Makes fresh schedulers.
pub struct Fixture(Box<dyn Fn() -> Box<dyn ResourceScheduler> + Send + Sync>);

impl Fixture {
    /// Schedulers from that factory.
    pub fn new<S: ResourceScheduler>(make: impl Fn() -> S + Send + Sync + 'static) -> Self {
        Self(Box::new(move || Box::new(make())))
    }

    fn fresh(&self) -> Box<dyn ResourceScheduler> {
        (self.0)()
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

/// One case of the suite.
pub type Case = fn(Fixture) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// Every case by the name of its rule, for harnesses other than the macro.
        pub const CASES: &[(&str, Case)] = &[
            $((stringify!($case), |fixture| Box::pin($case(fixture)))),*
        ];
    };
}
cases! {
    answers_each never_overcommits respects_kind respects_rules preempts_only_lower
    explains_refusals avoids_failures deterministic save_restore
}

/// Expands to one `#[tokio::test]` per rule of
/// [`ResourceScheduler`](crate::scheduler::ResourceScheduler)'s contract. Takes a closure that makes
/// a fresh scheduler; put it into a module of its own.
#[macro_export]
macro_rules! resource_scheduler_conformance {
    ($factory:expr) => {
        $crate::resource_scheduler_conformance! { @cases $factory;
            answers_each never_overcommits respects_kind respects_rules preempts_only_lower
            explains_refusals avoids_failures deterministic save_restore
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            let fixture = $crate::scheduler::conformance::Fixture::new($factory);
            $crate::scheduler::conformance::$case(fixture).await;
        }
    )*};
}

/// Asks a scheduler, in surroundings that are always the same.
fn ask(
    scheduler: &mut dyn ResourceScheduler,
    cluster: &ClusterView,
    batch: &[PlacementRequest],
) -> Vec<Placement> {
    let mut context = PolicyContext::new(Monotonic::ZERO, SeededRandom::new(1));
    let answers = scheduler.schedule(&mut context, cluster, batch);
    assert_eq!(answers.len(), batch.len(), "answers to a batch");
    answers
}
