//! The rules of [`ResourceManager`]'s contract as tests: run them with
//! [`resource_manager_conformance!`](crate::resource_manager_conformance).

mod applies;
mod assigns;
mod fixture;
mod scales;
mod starts;
mod survives;
mod tells;

use futures::future::BoxFuture;

pub use applies::{apply_is_durable, apply_replaces, apply_validates};
pub use assigns::{assign_refuses, assign_specialises};
pub use fixture::{End, Fixture, Recorder, Restart, Running, Silence, Stall};
pub use scales::{retiring_go, scale_converges, scale_is_soft, scale_promotes, scale_states};
pub use starts::{hook_before_start, starts_are_bounded, starts_nothing_twice};
pub use survives::{
    adopts_the_present, remove_leaves_nothing, replaces_the_dead, replaces_the_lost,
};
pub use tells::{unknown_workload, waiting_is_explained, watch_pushes};

#[cfg(doc)]
use super::ResourceManager;

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
    apply_is_durable apply_replaces apply_validates scale_converges scale_promotes scale_states
    scale_is_soft retiring_go assign_specialises assign_refuses replaces_the_dead replaces_the_lost
    starts_are_bounded starts_nothing_twice adopts_the_present remove_leaves_nothing
    unknown_workload watch_pushes hook_before_start waiting_is_explained
}

/// Expands to one `#[tokio::test]` per rule of [`ResourceManager`](crate::ResourceManager)'s
/// contract. Takes an `async` closure that makes a fresh
/// [`Fixture`](crate::manager::conformance::Fixture); in time that tokio pauses, where nothing real
/// is driven: `resource_manager_conformance!(paused: fixture)`.
#[macro_export]
macro_rules! resource_manager_conformance {
    ($factory:expr) => {
        $crate::resource_manager_conformance! { @all [tokio::test], $factory }
    };
    (paused: $factory:expr) => {
        $crate::resource_manager_conformance! { @all [tokio::test(start_paused = true)], $factory }
    };
    (@all $test:tt, $factory:expr) => {
        $crate::resource_manager_conformance! { @cases $test, $factory;
            apply_is_durable apply_replaces apply_validates scale_converges scale_promotes
            scale_states scale_is_soft retiring_go assign_specialises assign_refuses
            replaces_the_dead replaces_the_lost starts_are_bounded starts_nothing_twice
            adopts_the_present remove_leaves_nothing unknown_workload watch_pushes
            hook_before_start waiting_is_explained
        }
    };
    (@cases $test:tt, $factory:expr; $($case:ident)*) => {$(
        $crate::resource_manager_conformance! { @case $test, $factory; $case }
    )*};
    (@case [$test:meta], $factory:expr; $case:ident) => {
        #[$test]
        async fn $case() {
            $crate::manager::conformance::$case(($factory)().await).await;
        }
    };
}
