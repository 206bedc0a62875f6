//! [`StoreExecutionStore`]: W4 over any [`Store`].

mod epochs;
mod keys;
mod mailbox;
mod pack;
mod retention;
mod stored;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::encoding;
use faas_core::store::{KeyRange, Scan, Store};
use faas_core::{Component, Description, Error, ErrorKind, ExecutionId, Namespace, Result};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use super::{
    Append, DueExecution, Epoch, Epochs, ExecutionFilter, ExecutionHead, ExecutionName,
    ExecutionPage, Mailbox, Retention, StoredExecution, TransitionNumber, WorkflowExecutionStore,
};
use crate::history::{HistoryCursor, HistoryPage, HistoryQuery};
use epochs::StoreEpochs;
use keys::{ENDINGS, EXECUTIONS as SPACE, TimeIndex};
use stored::{StoredHead, StoredTransition};

/// How many transitions are read at a time.
const PAGE: usize = 256;

/// W4 over any [`Store`]: one value for a transition, one for the head, one for the last snapshot.
#[derive(Debug, Clone)]
pub struct StoreExecutionStore {
    store: Arc<dyn Store>,
    epochs: StoreEpochs,
}

impl StoreExecutionStore {
    /// Over `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let epochs = StoreEpochs::new(store.clone());
        Self { store, epochs }
    }

    async fn value(&self, key: faas_core::store::Key) -> Result<Option<Bytes>> {
        let entry = self.store.get(&SPACE, &key).await?;
        Ok(entry.map(|entry| entry.value))
    }

    async fn by_time(
        &self,
        index: TimeIndex,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueExecution>> {
        let mut range = KeyRange::prefix(index.all());
        range.end = Some(index.behind(at));
        let page = self
            .store
            .scan(Scan::new(SPACE, range).limit(limit))
            .await?;
        let entries = page.entries.iter();
        entries.map(|entry| TimeIndex::parse(&entry.key)).collect()
    }

    /// The transitions from `from` on, one page, and whether there are more.
    async fn transitions(
        &self,
        execution: ExecutionId,
        from: TransitionNumber,
        limit: usize,
    ) -> Result<(Vec<StoredTransition>, bool)> {
        let mut range = KeyRange::prefix(keys::transitions(execution));
        range.start = keys::transition(execution, from);
        let mut scan = Scan::new(SPACE, range);
        scan.limit = limit;
        let page = self.store.scan(scan).await?;
        let decoded = page.entries.iter().map(|e| encoding::decode(&e.value));
        Ok((decoded.collect::<Result<_>>()?, page.more))
    }
}

/// Tells a void epoch from a lost race.
async fn classify(store: Arc<dyn Store>, epoch: Epoch, error: Error) -> Error {
    if error.kind() != ErrorKind::Conflict {
        return error;
    }
    match store.get(&SPACE, &keys::epoch(epoch)).await {
        Ok(None) => epochs::void(epoch),
        _ => error.with_operation("append"),
    }
}

#[async_trait]
impl WorkflowExecutionStore for StoreExecutionStore {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<()>> {
        let epoch = append.head.epoch;
        let batch = match pack::batch(append) {
            Ok(batch) => batch,
            Err(error) => return futures::future::ready(Err(error)).boxed(),
        };
        let commit = self.store.commit(batch);
        let store = self.store.clone();
        Box::pin(async move {
            match commit.await {
                Ok(_) => Ok(()),
                Err(error) => Err(classify(store, epoch, error).await),
            }
        })
    }

    async fn load(&self, execution: ExecutionId) -> Result<StoredExecution> {
        let snapshot = self.value(keys::snapshot(execution)).await?;
        let (mut number, snapshot) = match snapshot {
            Some(bytes) => encoding::decode::<stored::StoredSnapshot>(&bytes)?.into_parts(),
            None => (TransitionNumber(0), None),
        };
        let mut events = Vec::new();
        loop {
            let (page, more) = self.transitions(execution, number.next(), PAGE).await?;
            for transition in page {
                number = transition.number;
                events.extend(transition.events);
            }
            if !more {
                break;
            }
        }
        let head = self.head(execution).await?;
        if head.transition != number {
            let message = format!("execution {execution} changed while it was read");
            return Err(Error::conflict("load execution", message));
        }
        Ok(StoredExecution::new(head, snapshot, events))
    }

    async fn head(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        let Some(bytes) = self.value(keys::head(execution)).await? else {
            let message = format!("there is no execution {execution}");
            return Err(Error::not_found("describe execution", message));
        };
        encoding::decode::<StoredHead>(&bytes).map(|stored| stored.0)
    }

    async fn find(
        &self,
        namespace: &Namespace,
        name: &ExecutionName,
    ) -> Result<Option<ExecutionId>> {
        let value = self.value(keys::name(namespace, name)).await?;
        value.map(|id| keys::parse(&id)).transpose()
    }

    async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage> {
        let mut range = KeyRange::prefix(keys::statuses(filter.status));
        if let Some(after) = filter.after {
            range = range.after(&keys::by_status(filter.status, after));
        }
        let mut scan = Scan::new(SPACE, range);
        scan.limit = filter.limit.max(1);
        let found = self.store.scan(scan).await?;
        let mut page = ExecutionPage::default();
        let mut last = None;
        for entry in &found.entries {
            let id = keys::last_id(&entry.key)?;
            last = Some(id);
            let head = self.head(id).await?;
            let wanted = |n: &Namespace| *n == head.workflow.namespace;
            // It may have ended since the scan.
            if head.status() == filter.status && filter.namespace.as_ref().is_none_or(wanted) {
                page.executions.push(head);
            }
        }
        page.next = last.filter(|_| found.more);
        Ok(page)
    }

    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage> {
        self.head(query.execution).await?;
        let mut number = TransitionNumber(query.from.0).next();
        let mut page = HistoryPage {
            resume: query.from,
            ..HistoryPage::default()
        };
        loop {
            let (transitions, more) = self.transitions(query.execution, number, PAGE).await?;
            let last = transitions.last().map(|t| t.number);
            for transition in transitions {
                page.records.extend(transition.records);
                page.resume = HistoryCursor(transition.number.0);
                if page.records.len() >= query.limit {
                    let end = last == Some(transition.number) && !more;
                    page.next = (!end).then_some(page.resume);
                    return Ok(page);
                }
                number = transition.number.next();
            }
            if !more {
                return Ok(page);
            }
        }
    }

    async fn ended(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        let key = keys::ending(execution);
        loop {
            let scan = Scan::new(ENDINGS, KeyRange::prefix(key.clone())).limit(1);
            let after = self.store.scan(scan).await?.revision;
            let head = self.head(execution).await?;
            if head.status().is_ended() {
                return Ok(head);
            }
            let mut changes = self.store.watch(&ENDINGS, key.clone(), after);
            match changes.next().await {
                // Whatever changed, the head tells how it stands.
                Some(Ok(_)) => {}
                Some(Err(error)) if error.kind() == ErrorKind::Compacted => {}
                Some(Err(error)) => return Err(error),
                None => {
                    let message = "the store watches no longer";
                    return Err(Error::unavailable("wait for execution", message));
                }
            }
        }
    }

    async fn due(&self, at: Timestamp, limit: usize) -> Result<Vec<DueExecution>> {
        self.by_time(TimeIndex::Due, at, limit).await
    }

    async fn orphans(&self, limit: usize) -> Result<Vec<ExecutionHead>> {
        let live = epochs::list(&*self.store).await?;
        let live = |epoch| live.iter().any(|state| state.epoch == epoch);
        let mut range = KeyRange::prefix(keys::owners());
        let mut found = Vec::new();
        while found.len() < limit {
            let scan = Scan::new(SPACE, range.clone()).limit(limit - found.len());
            let page = self.store.scan(scan).await?;
            let Some(first) = page.entries.first() else {
                break;
            };
            let owner = keys::owner(&first.key)?;
            if live(owner) {
                // All that it owns lies together: go on behind it.
                range.start = keys::owned_by(Epoch(owner.0.saturating_add(1)));
                continue;
            }
            for entry in &page.entries {
                if keys::owner(&entry.key)? != owner {
                    break;
                }
                range = range.after(&entry.key);
                let head = self.head(keys::last_id(&entry.key)?).await?;
                // It may have been adopted since the scan.
                if head.epoch == owner && !head.status().is_ended() {
                    found.push(head);
                }
            }
        }
        Ok(found)
    }

    fn epochs(&self) -> &dyn Epochs {
        &self.epochs
    }

    fn retention(&self) -> Option<&dyn Retention> {
        Some(self)
    }

    fn mailbox(&self) -> Option<&dyn Mailbox> {
        Some(self)
    }

    fn describe(&self) -> Description {
        Description::new(format!("StoreExecutionStore over {}", self.store.name()))
            .provides(Component::W4)
    }
}
