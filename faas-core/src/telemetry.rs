//! The names of the metrics that the platform records through the [`metrics`] facade.
//!
//! Labels are bounded: `namespace` and `function` come from registered functions only, and are empty
//! for what is none; `start` is a [`StartKind`](crate::StartKind), or `none` for what never got an
//! instance; `outcome` is `success`, `failure`, `error` (the platform failed, or refused it) or
//! `cancelled` (the caller dropped it).

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Invocations that ended, each once however often it was tried. Counter; `namespace`, `function`, `start`, `outcome`.
pub const INVOCATIONS: &str = "faas_invocations_total";
/// From the door to the trailer. Histogram, seconds; `namespace`, `function`, `start`.
pub const INVOCATION_SECONDS: &str = "faas_invocation_seconds";
/// Time in the router's queue. Histogram, seconds; `namespace`, `function`.
pub const QUEUE_SECONDS: &str = "faas_queue_seconds";
/// Requests in the router's queue. Gauge; `namespace`, `function`.
pub const QUEUE_DEPTH: &str = "faas_queue_depth";
/// Instances that take invocations. Gauge; `namespace`, `function`.
pub const INSTANCES: &str = "faas_instances";
/// Sandboxes that were brought to a state that they were asked for. Counter; `node`.
pub const SANDBOX_STARTS: &str = "faas_sandbox_starts_total";
/// Sandboxes that ended. Counter; `node`, `cause` (`code`, `signal`, `out_of_memory`,
/// `start_failure`, `stopped`, `node_lost`, `unknown`).
pub const SANDBOX_EXITS: &str = "faas_sandbox_exits_total";
/// Workloads for which the scheduler found no place, each time the reason is another. Counter.
pub const UNSCHEDULABLE: &str = "faas_unschedulable_total";
/// Workflow executions that ended. Counter; `workflow`, `outcome`.
pub const EXECUTIONS: &str = "faas_executions_total";
/// Workflow tasks that ended. Counter; `workflow`, `outcome`.
pub const TASKS: &str = "faas_tasks_total";

/// Tells the installed recorder the unit and meaning of each metric; call it after installing one.
pub fn describe() {
    describe_counter!(INVOCATIONS, Unit::Count, "Invocations that ended");
    describe_histogram!(
        INVOCATION_SECONDS,
        Unit::Seconds,
        "From the door to the trailer"
    );
    describe_histogram!(QUEUE_SECONDS, Unit::Seconds, "Time in the router's queue");
    describe_gauge!(QUEUE_DEPTH, Unit::Count, "Requests in the router's queue");
    describe_gauge!(INSTANCES, Unit::Count, "Instances that take invocations");
    describe_counter!(SANDBOX_STARTS, Unit::Count, "Sandboxes that were started");
    describe_counter!(SANDBOX_EXITS, Unit::Count, "Sandboxes that ended");
    describe_counter!(
        UNSCHEDULABLE,
        Unit::Count,
        "Placements that the scheduler refused"
    );
    describe_counter!(EXECUTIONS, Unit::Count, "Workflow executions that ended");
    describe_counter!(TASKS, Unit::Count, "Workflow tasks that ended");
}
