//! For each rule of mailboxes and of retention, a store that breaks it alone, and is caught.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use faas_core::{Description, ErrorKind, ExecutionId, Namespace, Result};
use faas_workflow::execution_store::mailbox::{self, Letter, LetterId, SentBack};
use faas_workflow::execution_store::retention;
use faas_workflow::execution_store::{
    Append, DueExecution, Epochs, ExecutionFilter, ExecutionPage, Mailbox, Retention,
    StoredExecution,
};
use faas_workflow::{
    ExecutionHead, ExecutionName, HistoryPage, HistoryQuery, WorkflowExecutionStore,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::Timestamp;

use crate::fixtures::{Kept, execution_store};

#[derive(Clone)]
struct Broken {
    rule: &'static str,
    inner: Arc<dyn WorkflowExecutionStore>,
    taken: Arc<Mutex<HashSet<LetterId>>>,
    hidden: Arc<Mutex<HashSet<ExecutionId>>>,
}

impl Broken {
    fn new(rule: &'static str, inner: Arc<dyn WorkflowExecutionStore>) -> Self {
        let (taken, hidden) = Default::default();
        Self {
            rule,
            inner,
            taken,
            hidden,
        }
    }

    fn breaks(&self, rule: &str) -> bool {
        self.rule == rule
    }
}

#[async_trait]
impl WorkflowExecutionStore for Broken {
    fn append(&self, mut append: Append) -> BoxFuture<'static, Result<()>> {
        if self.breaks("taken_once") {
            let mut taken = self.taken.lock().unwrap();
            append.letters.retain(|letter| taken.insert(*letter));
        }
        self.inner.append(append)
    }
    async fn load(&self, execution: ExecutionId) -> Result<StoredExecution> {
        self.inner.load(execution).await
    }
    async fn head(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        self.inner.head(execution).await
    }
    async fn find(&self, space: &Namespace, name: &ExecutionName) -> Result<Option<ExecutionId>> {
        self.inner.find(space, name).await
    }
    async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage> {
        self.inner.list(filter).await
    }
    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage> {
        self.inner.history(query).await
    }
    async fn ended(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        self.inner.ended(execution).await
    }
    async fn due(&self, at: Timestamp, limit: usize) -> Result<Vec<DueExecution>> {
        self.inner.due(at, limit).await
    }
    async fn orphans(&self, limit: usize) -> Result<Vec<ExecutionHead>> {
        self.inner.orphans(limit).await
    }
    fn epochs(&self) -> &dyn Epochs {
        self.inner.epochs()
    }
    fn describe(&self) -> Description {
        Description::new("Broken")
    }
    fn retention(&self) -> Option<&dyn Retention> {
        Some(self)
    }
    fn mailbox(&self) -> Option<&dyn Mailbox> {
        Some(self)
    }
}

/// Takes a letter away when its sender stops waiting.
struct Impatient(Option<(Arc<dyn WorkflowExecutionStore>, Letter)>);

impl Drop for Impatient {
    fn drop(&mut self) {
        if let Some((store, letter)) = self.0.take() {
            let reason = SentBack {
                not_found: true,
                message: "impatient".into(),
            };
            tokio::spawn(async move { store.mailbox().unwrap().send_back(&letter, reason).await });
        }
    }
}

#[async_trait]
impl Mailbox for Broken {
    async fn send(&self, letter: Letter) -> Result<()> {
        if self.breaks("sender_learns") {
            let inner = self.inner.clone();
            tokio::spawn(async move { inner.mailbox().unwrap().send(letter).await });
            return Ok(());
        }
        let guarded = (self.inner.clone(), letter.clone());
        let mut guard = Impatient(self.breaks("stays").then_some(guarded));
        let sent = self.inner.mailbox().unwrap().send(letter).await;
        guard.0 = None;
        sent
    }
    async fn waiting(&self, execution: ExecutionId) -> Result<Vec<Letter>> {
        self.inner.mailbox().unwrap().waiting(execution).await
    }
    fn arrivals(&self) -> BoxStream<'static, Result<Letter>> {
        let arrivals = self.inner.mailbox().unwrap().arrivals();
        match self.rule {
            "arrivals_pushed" => arrivals.take(1).boxed(),
            _ => arrivals,
        }
    }
    async fn send_back(&self, letter: &Letter, reason: SentBack) -> Result<()> {
        self.inner
            .mailbox()
            .unwrap()
            .send_back(letter, reason)
            .await
    }
}

#[async_trait]
impl Retention for Broken {
    async fn expired(&self, at: Timestamp, limit: usize) -> Result<Vec<ExecutionId>> {
        let mut expired = self.inner.retention().unwrap().expired(at, limit).await?;
        expired.retain(|id| !self.hidden.lock().unwrap().contains(id));
        if self.breaks("expired_listed") {
            expired.reverse();
        }
        Ok(expired)
    }

    async fn delete(&self, execution: ExecutionId) -> Result<()> {
        if self.breaks("deleted_whole") {
            return Ok(());
        }
        match self.inner.retention().unwrap().delete(execution).await {
            Err(error) if error.kind() == ErrorKind::Conflict && self.breaks("only_the_ended") => {
                Ok(())
            }
            Err(error) if self.breaks("deleted_in_the_end") => {
                self.hidden.lock().unwrap().insert(execution);
                Err(error)
            }
            other => other,
        }
    }
}

struct BrokenKept {
    rule: &'static str,
    inner: Kept,
    hidden: Arc<Mutex<HashSet<ExecutionId>>>,
}

impl BrokenKept {
    fn broken(&self, inner: Arc<dyn WorkflowExecutionStore>) -> Arc<dyn WorkflowExecutionStore> {
        Arc::new(Broken {
            hidden: self.hidden.clone(),
            ..Broken::new(self.rule, inner)
        })
    }
}

#[async_trait]
impl retention::conformance::Harness for BrokenKept {
    async fn open(&self) -> Arc<dyn WorkflowExecutionStore> {
        self.broken(self.inner.open().await)
    }
    async fn failing(&self, writes: usize) -> Arc<dyn WorkflowExecutionStore> {
        self.broken(self.inner.failing(writes).await)
    }
}

async fn caught(rule: &'static str, case: impl Future<Output = ()> + Send + 'static) {
    let caught = tokio::spawn(case)
        .await
        .is_err_and(|error| error.is_panic());
    assert!(caught, "{rule} was not caught");
}

#[tokio::test(start_paused = true)]
async fn every_rule_of_mailboxes_is_caught() {
    for &rule in mailbox::conformance::CASES {
        let broken = Broken::new(rule, execution_store().await);
        caught(rule, mailbox::conformance::run(rule, Arc::new(broken))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_rule_of_retention_is_caught() {
    for &rule in retention::conformance::CASES {
        let broken = BrokenKept {
            rule,
            inner: Kept::default(),
            hidden: Arc::default(),
        };
        caught(rule, retention::conformance::run(rule, Arc::new(broken))).await;
    }
}
