//! Who runs a task, and when it is over.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use faas_core::{Error, ExecutionId, FunctionRef, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::TaskNumber;
use crate::execution_store::ExecutionName;
use crate::registry::WorkflowRef;

/// Who runs a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TaskTarget {
    /// A function, through the engine's [`Invoker`](faas_core::Invoker).
    Function(FunctionRef),
    /// Something else that the engine knows by name: a queue, another workflow, a worker.
    Resource {
        /// Which one, as the workflow's language names it: an ARN, say.
        name: ResourceName,
        /// When the task is over.
        completion: Completion,
    },
    /// An execution of another workflow; it is cancelled if nobody wants the task's answer any more.
    Workflow(ChildExecution),
}

impl fmt::Display for TaskTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(function) => function.fmt(f),
            Self::Resource { name, .. } => name.fmt(f),
            Self::Workflow(child) => write!(f, "workflow {}", child.workflow),
        }
    }
}

/// What a task that runs another workflow answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChildAnswer {
    /// The output of the execution, when it has ended; its error is the task's.
    #[default]
    Output,
    /// The execution as it ended, however it did.
    Ended,
    /// The execution as it started; it goes on alone, and outlives whoever started it.
    Started,
}

/// An execution of another workflow, as a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChildExecution {
    /// Which workflow; its newest version unless it names one.
    pub workflow: WorkflowRef,
    /// Under which name; one made of the execution's id and the task's key by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ExecutionName>,
    /// What the task answers.
    #[serde(default)]
    pub answer: ChildAnswer,
}

impl ChildExecution {
    /// An execution of `workflow` whose output is the task's answer.
    pub fn new(workflow: WorkflowRef) -> Self {
        Self {
            workflow,
            name: None,
            answer: ChildAnswer::default(),
        }
    }
}

/// When a task that a resource runs is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Completion {
    /// When the resource has answered.
    Response,
    /// When the job is done that the resource started; its answer is a receipt
    /// ([`EventKind::TaskSubmitted`](super::EventKind::TaskSubmitted)).
    Job,
    /// When whoever has the task's token says so; the resource's answer is a receipt.
    Callback,
    /// When a worker, who pulled it and so has its token, says so.
    Worker,
}

/// The name of a resource: 1 to 1,024 visible characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceName(Arc<str>);

impl ResourceName {
    /// Checks `text`.
    ///
    /// # Errors
    /// `InvalidArgument` if it is empty, too long, or has a blank or a control character.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        let visible = |c: char| !c.is_control() && !c.is_whitespace();
        if (1..=1024).contains(&text.chars().count()) && text.chars().all(visible) {
            return Ok(Self(text.into()));
        }
        let message = "a resource's name is 1 to 1,024 characters without blanks";
        Err(Error::invalid("parse resource name", message))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ResourceName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<ResourceName> for String {
    fn from(name: ResourceName) -> Self {
        name.as_str().into()
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What whoever ends a task from outside must show: it names the task, and only its program could
/// have made it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskToken {
    /// Of which execution.
    pub execution: ExecutionId,
    /// Which task of it.
    pub task: TaskNumber,
    secret: u64,
}

impl TaskToken {
    /// The token of a task; `entropy` is that of the event that led to it. The secret is a digest
    /// of it, so that who has one token cannot compute the next.
    pub fn new(execution: ExecutionId, task: TaskNumber, entropy: u64) -> Self {
        let digest = Sha256::new()
            .chain_update(execution.as_u128().to_be_bytes())
            .chain_update(task.0.to_be_bytes())
            .chain_update(entropy.to_be_bytes())
            .finalize();
        let secret = digest[..8]
            .iter()
            .fold(0, |n, &byte| n << 8 | u64::from(byte));
        Self {
            execution,
            task,
            secret,
        }
    }
}

impl fmt::Display for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{:016x}", self.execution, self.task, self.secret)
    }
}

impl fmt::Debug for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever has the secret can end the task.
        write!(f, "TaskToken({}.{}.…)", self.execution, self.task)
    }
}

impl FromStr for TaskToken {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid("parse task token", "it is no task token");
        let mut parts = text.split('.');
        let (Some(execution), Some(task), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        let task = task.parse().map_err(|_| bad())?;
        let secret = u64::from_str_radix(secret, 16).map_err(|_| bad())?;
        Ok(Self {
            execution: execution.parse()?,
            task: TaskNumber(task),
            secret,
        })
    }
}

impl TryFrom<String> for TaskToken {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<TaskToken> for String {
    fn from(token: TaskToken) -> Self {
        token.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_their_text() {
        let token = TaskToken::new(7u128.into(), TaskNumber(3), u64::MAX);
        assert_eq!(token.to_string().parse::<TaskToken>().unwrap(), token);
        let secret = token.to_string().rsplit('.').next().unwrap().to_owned();
        assert!(!format!("{token:?}").contains(&secret), "no secret in logs");
        let other = TaskToken::new(7u128.into(), TaskNumber(4), u64::MAX);
        assert_ne!(token.secret, other.secret, "one tells nothing of the other");
        for bad in ["", "1.2", "x.1.1", "00000000000000000000000000000007.1.1.1"] {
            assert!(bad.parse::<TaskToken>().is_err(), "{bad}");
        }
    }

    #[test]
    fn resource_names_are_checked() {
        let arn = "arn:aws:states:::sqs:sendMessage";
        assert_eq!(ResourceName::new(arn).unwrap().as_str(), arn);
        for bad in ["", "a b", "a\n", &"x".repeat(1025)] {
            assert!(ResourceName::new(bad).is_err(), "{bad}");
        }
    }
}
