//! [`ExecutionHead`]: an execution as it stands.

use faas_core::ExecutionId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Epoch, ExecutionName, ExecutionStatus};
use crate::program::{DefinitionDigest, Ending, TaskNumber};
use crate::registry::{WorkflowRef, WorkflowSettings, WorkflowVersion};

/// The place of a transition in its execution: 1, 2, 3, …
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TransitionNumber(pub u64);

impl TransitionNumber {
    /// The one that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The SHA-256 of an execution's input: tells a repeated start from another one of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputDigest(pub DefinitionDigest);

/// The task that an execution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Of which execution.
    pub execution: ExecutionId,
    /// Which task.
    pub task: TaskNumber,
    /// How many executions lie above it: 1 for the child of one that nobody's task is.
    pub depth: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// An execution as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExecutionHead {
    /// Which one.
    pub id: ExecutionId,
    /// Its name.
    pub name: ExecutionName,
    /// Of which workflow, with its version.
    pub workflow: WorkflowRef,
    /// The definition that it is pinned to.
    pub digest: DefinitionDigest,
    /// What it was given.
    pub input: InputDigest,
    /// Which execution's task it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The execution that goes on as this one, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<ExecutionId>,
    /// How often it was redriven.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redrives: u32,
    /// How it is run and kept: its workflow's settings when it started.
    #[serde(default)]
    pub settings: WorkflowSettings,
    /// When it started.
    pub started: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
    /// How it ended, if it did.
    pub ending: Option<Ending>,
    /// The last transition.
    pub transition: TransitionNumber,
    /// Who wrote it.
    pub epoch: Epoch,
}

impl ExecutionHead {
    /// An execution that has no transition yet.
    pub fn new(id: ExecutionId, name: ExecutionName, workflow: WorkflowRef, epoch: Epoch) -> Self {
        Self {
            id,
            name,
            workflow: WorkflowRef {
                version: workflow.version.or(Some(WorkflowVersion(1))),
                ..workflow
            },
            digest: DefinitionDigest::of(b""),
            input: InputDigest(DefinitionDigest::of(b"")),
            parent: None,
            continues: None,
            redrives: 0,
            settings: WorkflowSettings::default(),
            started: Timestamp::UNIX_EPOCH,
            updated: Timestamp::UNIX_EPOCH,
            ending: None,
            transition: TransitionNumber(0),
            epoch,
        }
    }

    /// The execution that this one goes on as, from `at`: of the same name, version and settings.
    #[must_use]
    pub fn continued_as(&self, id: ExecutionId, at: Timestamp) -> Self {
        Self {
            id,
            continues: Some(self.id),
            redrives: 0,
            started: at,
            updated: at,
            ending: None,
            transition: TransitionNumber(0),
            ..self.clone()
        }
    }

    /// When it may be deleted, once it has ended, if its workflow says so.
    pub fn expires(&self) -> Option<Timestamp> {
        let retention = self.settings.retention.filter(|_| self.ending.is_some())?;
        Some(
            self.updated
                .checked_add(retention)
                .unwrap_or(Timestamp::MAX),
        )
    }

    /// What an execution store indexes it by.
    pub fn standing(&self) -> Standing {
        Standing {
            status: self.status(),
            epoch: self.epoch,
            expires: self.expires(),
        }
    }

    /// How it stands.
    pub fn status(&self) -> ExecutionStatus {
        self.ending.as_ref().into()
    }
}

/// What an execution store indexes an execution by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How it stands.
    pub status: ExecutionStatus,
    /// Whose it is.
    pub epoch: Epoch,
    /// When it may be deleted.
    pub expires: Option<Timestamp>,
}
