//! Letters between engines that share a store: written to whoever runs an execution, and listened
//! for.

use std::sync::{Arc, Weak};
use std::time::Duration;

use faas_core::{Clock, Error, ExecutionId, Result, Retry};
use futures::StreamExt;
use futures::future::{Either, select};

use super::live::Message;
use super::shared::Shared;
use crate::execution_store::mailbox::{Content, Letter, SentBack};
use crate::execution_store::{ExecutionHead, WorkflowExecutionStore};

/// How long the listener rests after the store failed.
const REST: Duration = Duration::from_millis(500);

/// Gives the loop every letter that arrives, until the engine is gone.
pub(super) async fn listen(
    shared: Weak<Shared>,
    store: Arc<dyn WorkflowExecutionStore>,
    clock: Arc<dyn Clock>,
) {
    loop {
        let Some(mailbox) = store.mailbox() else {
            return;
        };
        let mut arrivals = mailbox.arrivals();
        while let Some(letter) = arrivals.next().await {
            let letter = match letter {
                Ok(letter) => letter,
                Err(error) => {
                    tracing::warn!(%error, "letters are listened for again");
                    break;
                }
            };
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let sent = shared.inbox.send(Message::Letter(letter)).await;
            if sent.is_err() {
                return;
            }
        }
        clock.sleep_until(clock.now() + REST).await;
    }
}

impl Shared {
    /// Asks the engine that runs an execution, by letter; answers when it has stored that it did
    /// what was asked.
    pub(super) async fn write(&self, head: &ExecutionHead, content: Content) -> Result<()> {
        let id = head.id;
        let elsewhere = || {
            let message = format!("another engine runs execution {id}");
            Error::unavailable("send to execution", message)
        };
        let mailbox = self.executions.mailbox().filter(|_| !self.exclusive);
        let mailbox = mailbox.ok_or_else(elsewhere)?;
        let letter = Letter::new(self.ids.next(), id, content);
        let sent = mailbox.send(letter.clone());
        let ended = self.executions.ended(id);
        let answer = async {
            match select(sent, ended).await {
                Either::Left((sent, _)) => sent,
                // It may have been the last thing that it took.
                Either::Right((_, sent)) => {
                    let waiting = mailbox.waiting(id).await?;
                    if !waiting.contains(&letter) {
                        return sent.await;
                    }
                    let reason = SentBack {
                        not_found: false,
                        message: format!("execution {id} has ended"),
                    };
                    mailbox.send_back(&letter, reason).await?;
                    sent.await
                }
            }
        };
        let limit = self.clock.sleep_until(self.clock.now() + self.lease * 3);
        match select(Box::pin(answer), limit).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => {
                let message = format!("nobody runs execution {id} yet; it was left a letter");
                let late = Error::deadline_exceeded("send to execution", message);
                Err(late.with_retry(Retry::Ambiguous))
            }
        }
    }

    /// The execution that stands for this one, if it goes on: itself, or what it continues as.
    pub(super) async fn goes_on(&self, mut id: ExecutionId) -> Result<ExecutionHead> {
        loop {
            let head = self.executions.head(id).await?;
            match head.ending {
                Some(crate::program::Ending::Continued(next)) => id = next,
                None => return Ok(head),
                Some(_) => {
                    let message = format!("execution {id} has {}", head.status().label());
                    let error = Error::conflict("ask execution", message);
                    return Err(error.with_retry(Retry::Never));
                }
            }
        }
    }
}
