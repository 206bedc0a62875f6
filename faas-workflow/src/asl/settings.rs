//! [`Settings`]: what a definition cannot say of itself.

use std::time::Duration;

/// Of which type a state machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MachineType {
    /// Durable, up to a year long, every integration pattern.
    #[default]
    Standard,
    /// Short: no activities, no `.sync`, no `.waitForTaskToken`.
    Express,
}

/// What a definition, its data and its executions may be. The defaults are AWS's quotas, where it
/// has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a definition's text.
    pub definition_bytes: usize,
    /// States of a definition, all levels together.
    pub states: usize,
    /// Bytes of the JSON text of a state's input, result or output.
    pub data_bytes: usize,
    /// Levels of nesting of data.
    pub data_depth: usize,
    /// Bytes of all variables of one scope.
    pub variables_bytes: usize,
    /// Events of a history; an execution that would need more fails.
    pub history_events: u64,
    /// Iterations of an inline Map that run at once, whatever `MaxConcurrency` says.
    pub inline_concurrency: usize,
    /// Child executions of a distributed Map that run at once.
    pub distributed_concurrency: usize,
    /// Items of one Map.
    pub items: usize,
    /// Bytes of what an `ItemReader` reads.
    pub reader_bytes: usize,
    /// Nodes that the evaluation of one path may visit.
    pub path_nodes: usize,
    /// How deep Parallel and Map states may nest.
    pub nesting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            definition_bytes: 1 << 20,
            states: 10_000,
            data_bytes: 256 << 10,
            data_depth: 100,
            variables_bytes: 10 << 20,
            history_events: 25_000,
            inline_concurrency: 40,
            distributed_concurrency: 10_000,
            items: 100_000,
            reader_bytes: 64 << 20,
            path_nodes: 1 << 20,
            nesting: 32,
        }
    }
}

/// The longest wait, timeout and interval that the language knows, in seconds.
pub const MAX_SECONDS: u64 = 99_999_999;

/// The names and bounds that executions of Amazon States Language show.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Of which type the machines are.
    pub machine_type: MachineType,
    /// The partition in ARNs.
    pub partition: String,
    /// The region in ARNs.
    pub region: String,
    /// The account in ARNs.
    pub account: String,
    /// What the context object says of the role.
    pub role_arn: String,
    /// Bounds.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            machine_type: MachineType::Standard,
            partition: "aws".into(),
            region: "local".into(),
            account: "000000000000".into(),
            role_arn: "arn:aws:iam::000000000000:role/faas".into(),
            limits: Limits::default(),
        }
    }
}

/// A number of seconds, as long as the language allows.
pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count.min(MAX_SECONDS))
}

impl Settings {
    fn states_arn(&self, kind: &str, name: &str) -> String {
        let (partition, region, account) = (&self.partition, &self.region, &self.account);
        format!("arn:{partition}:states:{region}:{account}:{kind}:{name}")
    }

    /// The ARN of a state machine.
    pub fn machine_arn(&self, name: &str) -> String {
        self.states_arn("stateMachine", name)
    }

    /// The ARN of an execution.
    pub fn execution_arn(&self, machine: &str, name: &str) -> String {
        self.states_arn("execution", &format!("{machine}:{name}"))
    }

    pub(super) fn map_run_arn(&self, machine: &str, label: &str, id: &str) -> String {
        self.states_arn("mapRun", &format!("{machine}/{label}:{id}"))
    }
}
