//! Deleting executions, in batches that every store takes.

use async_trait::async_trait;
use faas_core::store::{Batch, Key, KeyRange, Precondition, Scan, Space};
use faas_core::{Error, ExecutionId, Result, Retry, encoding};
use jiff::Timestamp;

use super::StoreExecutionStore;
use super::keys::{self, ENDINGS, EXECUTIONS as SPACE, MAIL, TimeIndex};
use super::stored::StoredHead;
use crate::execution_store::{ExecutionHead, Retention, WorkflowExecutionStore};

/// How many transitions a batch deletes: below the smallest limit of operations known.
const DELETED_AT_ONCE: usize = 64;

/// Stands in the index of expiry while a deletion is under way: sooner than everything else, so
/// that one that was cut short is found again.
const UNDER_WAY: Timestamp = Timestamp::UNIX_EPOCH;

#[async_trait]
impl Retention for StoreExecutionStore {
    async fn expired(&self, at: Timestamp, limit: usize) -> Result<Vec<ExecutionId>> {
        let expired = self.by_time(TimeIndex::Expiry, at, limit).await?;
        Ok(expired.into_iter().map(|one| one.execution).collect())
    }

    async fn delete(&self, execution: ExecutionId) -> Result<()> {
        let mark = TimeIndex::Expiry.key(UNDER_WAY, execution);
        match self.store.get(&SPACE, &keys::head(execution)).await? {
            Some(entry) => {
                let head = encoding::decode::<StoredHead>(&entry.value)?.0;
                if !head.status().is_ended() {
                    let message = format!("execution {execution} goes on");
                    let error = Error::conflict("delete execution", message);
                    return Err(error.with_retry(Retry::Never));
                }
                let unchanged = Precondition::At(entry.version);
                let mut batch = begin(&head, unchanged);
                let (namespace, name) = (&head.workflow.namespace, &head.name);
                // The name of one that was continued is its successor's.
                if self.find(namespace, name).await? == Some(execution) {
                    let named = Precondition::Value(execution.to_string().into());
                    batch = batch.delete(SPACE, keys::name(namespace, name), named);
                }
                self.store.commit(batch).await?;
            }
            None if self.store.get(&SPACE, &mark).await?.is_some() => {}
            None => {
                let message = format!("there is no execution {execution}");
                return Err(Error::not_found("delete execution", message));
            }
        }
        self.delete_transitions(execution).await?;
        self.delete_letters(execution).await?;
        let done = Batch::new().delete(SPACE, mark, Precondition::Any);
        self.store.commit(done).await.map(|_| ())
    }
}

impl StoreExecutionStore {
    async fn delete_transitions(&self, execution: ExecutionId) -> Result<()> {
        self.delete_all(SPACE, keys::transitions(execution)).await
    }

    /// What came too late, and whose senders are gone.
    async fn delete_letters(&self, execution: ExecutionId) -> Result<()> {
        self.delete_all(MAIL, keys::letters(execution)).await
    }

    async fn delete_all(&self, space: Space, prefix: Key) -> Result<()> {
        let range = KeyRange::prefix(prefix);
        loop {
            let scan = Scan::new(space.clone(), range.clone()).limit(DELETED_AT_ONCE);
            let page = self.store.scan(scan).await?;
            let keys = page.entries.into_iter().map(|entry| entry.key);
            let delete = |batch: Batch, key| batch.delete(space.clone(), key, Precondition::Any);
            let batch = keys.fold(Batch::new(), delete);
            if batch.operations().is_empty() {
                return Ok(());
            }
            self.store.commit(batch).await?;
        }
    }
}

/// What makes the execution invisible.
fn begin(head: &ExecutionHead, unchanged: Precondition) -> Batch {
    let (id, any) = (head.id, Precondition::Any);
    let mark = TimeIndex::Expiry.key(UNDER_WAY, id);
    let batch = Batch::new()
        .delete(SPACE, keys::head(id), unchanged)
        .delete(SPACE, keys::snapshot(id), any.clone())
        .delete(SPACE, keys::by_status(head.status(), id), any.clone())
        .delete(ENDINGS, keys::ending(id), any.clone())
        .put(SPACE, mark, "", any.clone());
    match head.expires() {
        Some(at) => batch.delete(SPACE, TimeIndex::Expiry.key(at, id), any),
        None => batch,
    }
}
