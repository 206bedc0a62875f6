//! [`Mailbox`]: letters to executions that another engine runs.

#[cfg(feature = "conformance")]
pub mod conformance;

use std::fmt;

use async_trait::async_trait;
use faas_core::{Error, ErrorKind, ExecutionId, Result, Retry};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::program::{Data, EventKind, TaskError, TaskToken};

/// The id of a letter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId(u128);

impl From<u128> for LetterId {
    fn from(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LetterId({self})")
    }
}

impl std::str::FromStr for LetterId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let number = u128::from_str_radix(text, 16);
        let bad = |_| Error::invalid("parse letter id", "it is not a hexadecimal number");
        number.map(Self).map_err(bad)
    }
}

/// What a letter asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// That its program learns of this.
    Event(EventKind),
    /// That a task ends.
    Complete {
        /// Whose token this is.
        token: TaskToken,
        /// With this.
        result: Result<Data, TaskError>,
    },
    /// That a task is known to be worked on.
    Heartbeat {
        /// Whose token this is.
        token: TaskToken,
    },
}

/// A letter to an execution, for whichever engine runs it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Letter {
    /// Which letter.
    pub id: LetterId,
    /// To which execution.
    pub execution: ExecutionId,
    /// What it asks for.
    pub content: Content,
}

impl Letter {
    /// A letter.
    pub fn new(id: LetterId, execution: ExecutionId, content: Content) -> Self {
        Self {
            id,
            execution,
            content,
        }
    }
}

/// Why a letter was sent back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentBack {
    /// Whether there is nothing that it could be for; else it came at the wrong time.
    pub not_found: bool,
    /// The whole reason.
    pub message: String,
}

impl From<&Error> for SentBack {
    fn from(error: &Error) -> Self {
        Self {
            not_found: error.kind() == ErrorKind::NotFound,
            message: error.message().into(),
        }
    }
}

impl From<SentBack> for Error {
    fn from(back: SentBack) -> Self {
        let operation = "send to execution";
        match back.not_found {
            true => Self::not_found(operation, back.message),
            false => Self::conflict(operation, back.message).with_retry(Retry::Never),
        }
    }
}

/// Letters from one engine to another, by way of the store that they share; reached through
/// [`WorkflowExecutionStore::mailbox`](super::WorkflowExecutionStore::mailbox).
///
/// ```text
/// engine A ─ send ─▶ Mailbox ─ arrivals ─▶ engine B ─ append that takes the letter ─▶ A: sent
/// ```
///
/// # Contract
/// - **stays**: a letter stays until an append takes it ([`Append::letters`](super::Append)) or
///   somebody sends it back, whether or not its sender still waits.
/// - **taken_once**: an append that takes a letter which is not there is a `Conflict` and changes
///   nothing.
/// - **sender_learns**: `send` answers when the letter was taken, or with the reason for which it
///   was sent back; it is told, and does not ask again and again.
/// - **arrivals_pushed**: `arrivals` gives every letter that waits, then each one that comes.
///
/// # Errors
/// `NotFound` and `Conflict` from `send` for a letter that was sent back; the store's own.
///
/// # Implementing
/// [`StoreExecutionStore`](super::StoreExecutionStore) is the example to read;
/// `mailbox_conformance!` the suite.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Mailbox: Send + Sync + 'static {
    /// Sends a letter and waits for what becomes of it.
    async fn send(&self, letter: Letter) -> Result<()>;
    /// The letters that wait for an execution, oldest first.
    async fn waiting(&self, execution: ExecutionId) -> Result<Vec<Letter>>;
    /// All letters that wait, and those to come; an error ends the stream.
    fn arrivals(&self) -> BoxStream<'static, Result<Letter>>;
    /// Sends a letter back; one that is not there any more stays so.
    async fn send_back(&self, letter: &Letter, reason: SentBack) -> Result<()>;
}
