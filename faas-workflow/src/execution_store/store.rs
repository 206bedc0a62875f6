//! [`StoreExecutionStore`]: W4 over any [`Store`].

mod epochs;
mod keys;
mod stored;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::encoding;
use faas_core::store::{Batch, KeyRange, Precondition, Scan, Store};
use faas_core::{Component, Description, Error, ErrorKind, ExecutionId, Namespace, Result};
use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use super::{
    Append, DueTimer, Epoch, EpochState, ExecutionFilter, ExecutionHead, ExecutionName,
    ExecutionPage, OpenEpoch, StoredExecution, TransitionNumber, WorkflowExecutionStore,
};
use crate::history::{HistoryCursor, HistoryPage, HistoryQuery};
use keys::EXECUTIONS as SPACE;
use stored::{StoredHead, StoredTransition};

/// How many transitions are read at a time.
const PAGE: usize = 256;

/// W4 over any [`Store`]: one value for a transition, one for the head, one for the last snapshot.
#[derive(Debug, Clone)]
pub struct StoreExecutionStore {
    store: Arc<dyn Store>,
}

impl StoreExecutionStore {
    /// Over `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    async fn value(&self, key: faas_core::store::Key) -> Result<Option<Bytes>> {
        let entry = self.store.get(&SPACE, &key).await?;
        Ok(entry.map(|entry| entry.value))
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

/// One transition as a batch.
fn batch(append: Append) -> Result<Batch> {
    let head = append.head;
    let (id, number) = (head.id, head.transition);
    let first = number == TransitionNumber(1);
    let absent_or_any = if first {
        Precondition::Absent
    } else {
        Precondition::Present
    };
    let mut batch = Batch::new()
        .check(SPACE, keys::epoch(head.epoch), Precondition::Present)
        .put(
            SPACE,
            keys::head(id),
            encoding::encode(&StoredHead(head.clone()))?,
            absent_or_any,
        )
        .put(
            SPACE,
            keys::transition(id, number),
            encoding::encode(&StoredTransition {
                number,
                events: append.events,
                records: append.records,
                blobs: append.blobs,
            })?,
            Precondition::Absent,
        );
    if first {
        let key = keys::name(&head.workflow.namespace, &head.name);
        let id = id.to_string().into_bytes();
        batch = batch.put(SPACE, key, id, Precondition::Absent);
    } else {
        let key = keys::transition(id, TransitionNumber(number.0.saturating_sub(1)));
        batch = batch.check(SPACE, key, Precondition::Present);
    }
    batch = index(batch, &head, first);
    for (timer, at) in append.timers_cleared {
        batch = batch.delete(SPACE, keys::timer(at, id, timer), Precondition::Any);
    }
    for (timer, at) in append.timers_set {
        batch = batch.put(
            SPACE,
            keys::timer(at, id, timer),
            Bytes::new(),
            Precondition::Any,
        );
    }
    if let Some(snapshot) = append.snapshot {
        let snapshot = encoding::encode(&stored::StoredSnapshot::new(number, &snapshot))?;
        batch = batch.put(SPACE, keys::snapshot(id), snapshot, Precondition::Any);
    }
    Ok(batch)
}

/// Moves the execution to the index of its status.
fn index(batch: Batch, head: &ExecutionHead, first: bool) -> Batch {
    use super::ExecutionStatus::Running;
    let status = head.status();
    if !first && !status.is_ended() {
        return batch;
    }
    let batch = batch.put(
        SPACE,
        keys::by_status(status, head.id),
        Bytes::new(),
        Precondition::Any,
    );
    if first {
        return batch;
    }
    batch.delete(SPACE, keys::by_status(Running, head.id), Precondition::Any)
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
    async fn open_epoch(&self, request: OpenEpoch) -> Result<EpochState> {
        epochs::open(&*self.store, request).await
    }

    async fn renew_epoch(&self, epoch: Epoch) -> Result<EpochState> {
        epochs::renew(&*self.store, epoch).await
    }

    async fn void_epoch(&self, epoch: Epoch) -> Result<()> {
        epochs::end(&*self.store, epoch).await
    }

    async fn epochs(&self) -> Result<Vec<EpochState>> {
        epochs::list(&*self.store).await
    }

    fn append(&self, append: Append) -> BoxFuture<'static, Result<()>> {
        let epoch = append.head.epoch;
        let batch = match batch(append) {
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

    async fn timers(&self, at: Timestamp, limit: usize) -> Result<Vec<DueTimer>> {
        let mut range = KeyRange::prefix(keys::timers());
        range.end = Some(keys::timers_behind(at));
        let mut scan = Scan::new(SPACE, range);
        scan.limit = limit;
        let page = self.store.scan(scan).await?;
        page.entries
            .iter()
            .map(|e| keys::parse_timer(&e.key))
            .collect()
    }

    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage> {
        self.head(query.execution).await?;
        let mut number = TransitionNumber(query.from.0).next();
        let mut page = HistoryPage::default();
        loop {
            let (transitions, more) = self.transitions(query.execution, number, PAGE).await?;
            let last = transitions.last().map(|t| t.number);
            for transition in transitions {
                page.records.extend(transition.records);
                if page.records.len() >= query.limit {
                    let end = last == Some(transition.number) && !more;
                    page.next = (!end).then_some(HistoryCursor(transition.number.0));
                    return Ok(page);
                }
                number = transition.number.next();
            }
            if !more {
                return Ok(page);
            }
        }
    }

    fn describe(&self) -> Description {
        Description::new(format!("StoreExecutionStore over {}", self.store.name()))
            .provides(Component::W4)
    }
}
