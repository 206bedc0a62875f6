//! [`WorkflowEngineExt`]: histories as streams.

use std::sync::Arc;

use faas_core::{ExecutionId, Result};
use futures::stream::{self, Stream, StreamExt, TryStreamExt};

use super::WorkflowEngine;
use crate::execution_store::TransitionNumber;
use crate::history::{HistoryCursor, HistoryQuery, HistoryRecord};

/// Where a stream of a history stands.
struct Following {
    engine: Arc<dyn WorkflowEngine>,
    execution: ExecutionId,
    cursor: HistoryCursor,
    /// The transition that was seen last; `None` where only what is there is read.
    seen: Option<TransitionNumber>,
    done: bool,
}

impl Following {
    /// The next page's records; none at the end.
    async fn page(&mut self) -> Result<Option<Vec<HistoryRecord>>> {
        while !self.done {
            let head = match self.seen {
                Some(_) => Some(self.engine.describe_execution(self.execution).await?),
                None => None,
            };
            let query = HistoryQuery::new(self.execution).from(self.cursor);
            let page = self.engine.history(query).await?;
            self.cursor = page.resume;
            if page.next.is_none() {
                match head {
                    // What it was seen to have done lies before the end of the page.
                    Some(head) if !head.status().is_ended() => {
                        self.seen = Some(head.transition);
                        if page.records.is_empty() {
                            self.wait(head.transition).await?;
                        }
                    }
                    _ => self.done = true,
                }
            }
            if !page.records.is_empty() {
                return Ok(Some(page.records));
            }
        }
        Ok(None)
    }

    async fn wait(&self, after: TransitionNumber) -> Result<()> {
        match self.engine.changes() {
            Some(changes) => changes.changed(self.execution, after).await.map(|_| ()),
            None => self.engine.wait(self.execution).await.map(|_| ()),
        }
    }
}

/// Conveniences over any [`WorkflowEngine`].
pub trait WorkflowEngineExt {
    /// The records of an execution's history so far, read page by page as they are asked for.
    fn records(
        &self,
        execution: ExecutionId,
    ) -> impl Stream<Item = Result<HistoryRecord>> + Send + use<Self>;

    /// The records of an execution's history, until its end: those to come are told as soon as they
    /// are stored. Of an execution that another engine runs, what comes is told when it has ended.
    fn follow(
        &self,
        execution: ExecutionId,
    ) -> impl Stream<Item = Result<HistoryRecord>> + Send + use<Self>;
}

fn stream(
    engine: Arc<dyn WorkflowEngine>,
    execution: ExecutionId,
    follow: bool,
) -> impl Stream<Item = Result<HistoryRecord>> + Send {
    let following = Following {
        engine,
        execution,
        cursor: HistoryCursor::default(),
        seen: follow.then(TransitionNumber::default),
        done: false,
    };
    let pages = stream::try_unfold(following, async |mut following| {
        let page = following.page().await?;
        Ok::<_, faas_core::Error>(page.map(|page| (page, following)))
    });
    pages
        .map_ok(|page| stream::iter(page.into_iter().map(Ok)))
        .try_flatten()
}

impl WorkflowEngineExt for Arc<dyn WorkflowEngine> {
    fn records(
        &self,
        execution: ExecutionId,
    ) -> impl Stream<Item = Result<HistoryRecord>> + Send + use<> {
        stream(self.clone(), execution, false).boxed()
    }

    fn follow(
        &self,
        execution: ExecutionId,
    ) -> impl Stream<Item = Result<HistoryRecord>> + Send + use<> {
        stream(self.clone(), execution, true).boxed()
    }
}
