//! The suite of `InvocationQueue` passes for `StoreQueue`, and catches a queue that breaks any one
//! rule: each fault breaks one, and the case of that name fails against it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{
    Clock, Description, Error, FunctionRef, Invocation, InvocationId, Invoker, MemoryStore,
    Monotonic, PrewarmHint, Response, Result, TokioClock,
};
use faas_function::InvocationQueue;
use faas_function::queue::conformance::{CASES, Case, Factory, Setup};
use faas_function::queue::{
    LetterPage, LetterQuery, Message, QueueId, QueueSettings, QueueSettingsSource, Queued,
    StoreQueue, StoreQueueOptions,
};

mod store_queue {
    faas_function::invocation_queue_conformance!(|setup| async move { super::queue(setup) });
}

fn queue(setup: Setup) -> StoreQueue {
    let mut options = StoreQueueOptions::default();
    options.capacity = setup.capacity;
    options.exclusive = setup.lease.is_none();
    options.lease = setup.lease.unwrap_or(options.lease);
    StoreQueue::start(setup.parts, options)
}

struct Settings {
    inner: Arc<dyn QueueSettingsSource>,
    rule: &'static str,
}

#[async_trait]
impl QueueSettingsSource for Settings {
    async fn settings(&self, function: &FunctionRef) -> Result<QueueSettings> {
        let settings = self.inner.settings(function).await;
        if self.rule == "unknown_is_refused" {
            return Ok(settings.unwrap_or_default());
        }
        let mut settings = settings?;
        match self.rule {
            "retried" => settings.attempts = 1,
            "too_old" => settings.max_age = Duration::from_secs(3600),
            "concurrency" => settings.concurrency = 100,
            "destinations" => settings.on_success = None,
            _ => {}
        }
        Ok(settings)
    }
}

/// Gives each call a key of its own.
struct Keys {
    inner: Arc<dyn Invoker>,
    next: AtomicU64,
}

#[async_trait]
impl Invoker for Keys {
    async fn invoke(&self, call: Invocation) -> Result<Response> {
        let key = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        self.inner.invoke(call.with_idempotency_key(key)).await
    }
    fn prewarm(&self, hint: PrewarmHint) {
        self.inner.prewarm(hint);
    }
    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

struct Broken {
    inner: StoreQueue,
    rule: &'static str,
    /// Submissions that were begun and not ended.
    open: AtomicUsize,
    ids: faas_core::IdSource,
}

#[async_trait]
impl InvocationQueue for Broken {
    async fn submit(&self, call: Invocation) -> Result<InvocationId> {
        if self.rule == "submitted_once" {
            let mut another = call.clone();
            another.id = self.ids.next();
            self.inner.submit(another).await?;
            return Ok(call.id);
        }
        if self.rule == "cancel_safe" {
            if self.open.fetch_add(1, Ordering::SeqCst) >= 4 {
                return Err(Error::exhausted("submit", "too many are under way"));
            }
            tokio::task::yield_now().await;
        }
        let taken = self.inner.submit(call).await;
        self.open.fetch_sub(1, Ordering::SeqCst);
        taken
    }
    async fn find(&self, id: InvocationId) -> Result<Queued> {
        self.inner.find(id).await
    }
    async fn dead_letters(&self, query: LetterQuery) -> Result<LetterPage> {
        self.inner.dead_letters(query).await
    }
    async fn redrive(&self, id: InvocationId) -> Result<()> {
        match self.rule {
            "dead_letters" => self.inner.discard(id).await,
            _ => self.inner.redrive(id).await,
        }
    }
    async fn discard(&self, id: InvocationId) -> Result<()> {
        self.inner.discard(id).await
    }
    async fn messages(&self, queue: &QueueId, limit: usize) -> Result<Vec<Message>> {
        self.inner.messages(queue, limit).await
    }
    async fn acknowledge(&self, queue: &QueueId, id: InvocationId) -> Result<()> {
        self.inner.acknowledge(queue, id).await
    }
    async fn drain(&self, deadline: Monotonic) -> Result<()> {
        self.inner.drain(deadline).await
    }
    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

fn broken(rule: &'static str) -> Factory {
    Arc::new(move |mut setup: Setup| {
        let inner = setup.parts.settings.clone();
        setup.parts.settings = Arc::new(Settings { inner, rule });
        match rule {
            "acknowledged_is_stored" => setup.parts.store = Arc::new(MemoryStore::new()),
            "same_key" => {
                let inner = setup.parts.invoker.clone();
                let next = AtomicU64::new(0);
                setup.parts.invoker = Arc::new(Keys { inner, next });
            }
            "bounded" => setup.capacity = 1000,
            "one_owner" => setup.lease = None,
            _ => {}
        }
        let ids = setup.parts.ids.clone();
        Box::pin(async move {
            Arc::new(Broken {
                inner: queue(setup),
                rule,
                open: AtomicUsize::new(0),
                ids,
            }) as _
        })
    })
}

#[tokio::test]
async fn each_broken_queue_fails_the_case_of_its_rule() {
    // What never comes is waited for in paused time, which is short.
    let passes = |case: Case, rule: &'static str| {
        let run = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().start_paused(true).build();
            runtime.expect("a runtime").block_on(case(broken(rule)));
        });
        run.join().is_ok()
    };
    for (rule, case) in CASES {
        assert!(passes(*case, "none"), "{rule}: a sound queue fails");
        assert!(!passes(*case, rule), "{rule}: a broken queue passes");
    }
}

#[tokio::test]
async fn a_drained_queue_takes_nothing_and_leaves_what_waits_to_the_next() {
    use faas_core::explain::DecisionLog;
    use faas_core::{IdSource, Payload};
    use faas_function::queue::StoreQueueParts;
    struct Never;
    #[async_trait]
    impl Invoker for Never {
        async fn invoke(&self, _: Invocation) -> Result<Response> {
            std::future::pending().await
        }
        fn prewarm(&self, _: PrewarmHint) {}
        fn describe(&self) -> Description {
            Description::new("Never")
        }
    }
    struct Same;
    #[async_trait]
    impl QueueSettingsSource for Same {
        async fn settings(&self, _: &FunctionRef) -> Result<QueueSettings> {
            Ok(QueueSettings::default())
        }
    }
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let ids = IdSource::random(clock.clone());
    let decisions = DecisionLog::new(clock.clone(), ids.clone());
    let store = Arc::new(MemoryStore::new());
    let parts = StoreQueueParts::new(
        store,
        Arc::new(Never),
        Arc::new(Same),
        clock.clone(),
        ids.clone(),
        decisions.clone(),
    );
    let queue = StoreQueue::start(parts, StoreQueueOptions::default());
    let call = |text: &str| {
        let function = "f".parse().expect("a function");
        Invocation::new(ids.next(), function, Payload::text(text))
    };
    let id = queue.submit(call("a")).await.expect("it is taken");
    let story = decisions.explain(id).to_string();
    assert!(story.contains("one of the 10 places"), "{story}");
    let error = queue.drain(clock.now() + Duration::from_millis(50)).await;
    let error = error.expect_err("it never ends");
    assert!(
        error.to_string().contains("1 asynchronous invocations"),
        "{error}"
    );
    let error = queue.submit(call("b")).await.expect_err("it is drained");
    assert_eq!(error.kind(), faas_core::ErrorKind::Unavailable);
    assert!(matches!(queue.find(id).await, Ok(Queued::Pending { .. })));
}
