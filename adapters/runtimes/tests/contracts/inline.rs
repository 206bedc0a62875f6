//! The in-process contract where a call is polled on the task of whoever called.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::common::{Slots, call, complete, config, connect, failure};
use faas_core::{
    Clock, ErrorKind, FunctionError, Handler, HandlerCall, HandlerName, HandlerRegistry,
    HandlerReply, Hold, Monotonic, Payload, TokioClock,
};
use faas_function::Contract;
use faas_function::instance::{FunctionInstance, Health};
use faas_function::registry::FunctionConfig;
use faas_resource::endpoint::Address;
use faas_runtimes::InProcess;
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::watch;

struct One(Arc<dyn Handler>);

impl HandlerRegistry for One {
    fn lookup(&self, _: &HandlerName) -> Option<Arc<dyn Handler>> {
        Some(self.0.clone())
    }
}

/// A clock that goes on when it is told to, so that no machine is too slow to be prompt.
#[derive(Debug, Clone)]
struct Manual {
    now: watch::Sender<Monotonic>,
    origin: TokioClock,
}

impl Manual {
    fn new() -> Self {
        Self {
            now: watch::Sender::new(Monotonic::ZERO),
            origin: TokioClock::new(),
        }
    }

    fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = *now + by);
    }
}

impl Clock for Manual {
    fn now(&self) -> Monotonic {
        *self.now.borrow()
    }
    fn wall(&self) -> jiff::Timestamp {
        self.origin.wall()
    }
    fn sleep_until(&self, deadline: Monotonic) -> BoxFuture<'static, ()> {
        let mut now = self.now.subscribe();
        Box::pin(async move {
            let reached = now.wait_for(|now| *now >= deadline).await;
            drop(reached.expect("the clock outlives its sleeps"));
        })
    }
    fn hold(&self) -> Hold {
        Hold::idle()
    }
}

const GRACE: Duration = Duration::from_secs(1);

/// An instance of `handler`, by `clock`.
async fn instance(
    handler: impl Handler,
    clock: &Manual,
    config: FunctionConfig,
) -> Arc<dyn FunctionInstance> {
    let contract = InProcess::new(Arc::new(One(Arc::new(handler))), Arc::new(clock.clone()));
    let endpoint = Address::Handler(HandlerName::new("handler").unwrap());
    let contract = contract.grace(GRACE);
    contract.connect(connect(endpoint, config)).await.unwrap()
}

type Made = Result<HandlerReply, FunctionError>;

/// What the handlers of these tests do, by the text that they are given; they echo all else.
struct Acts {
    clock: Manual,
    /// On which task each call was polled first.
    tasks: Mutex<Vec<Option<tokio::task::Id>>>,
    /// Futures that were dropped before they ended.
    dropped: AtomicUsize,
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Acts {
    async fn act(self: Arc<Self>, call: HandlerCall) -> Made {
        self.tasks.lock().unwrap().push(tokio::task::try_id());
        let text = call.payload.to_text().unwrap().to_owned();
        match text.as_str() {
            "panic" => panic!("on purpose"),
            "panic later" => {
                tokio::task::yield_now().await;
                panic!("on purpose, later")
            }
            "compute" => self.clock.advance(Duration::from_millis(2)),
            "hang" => {
                let _dropped = OnDrop(|| {
                    self.dropped.fetch_add(1, Ordering::SeqCst);
                });
                futures::future::pending::<()>().await;
            }
            "panic when dropped" => {
                let _dropped = OnDrop(|| panic!("as it is dropped"));
                futures::future::pending::<()>().await;
            }
            "yield" => tokio::task::yield_now().await,
            _ => {}
        }
        Ok(call.payload.into())
    }

    fn last_task(&self) -> Option<tokio::task::Id> {
        *self.tasks.lock().unwrap().last().unwrap()
    }
}

struct Stage {
    acts: Arc<Acts>,
    slots: Arc<Slots>,
    instance: Arc<dyn FunctionInstance>,
}

impl Stage {
    /// An instance whose next call is polled where it is called.
    async fn warm() -> Self {
        let acts = Arc::new(Acts {
            clock: Manual::new(),
            tasks: Mutex::default(),
            dropped: AtomicUsize::new(0),
        });
        let acting = acts.clone();
        let handler = move |call: HandlerCall| acting.clone().act(call);
        let instance = instance(handler, &acts.clock, config()).await;
        let slots = Arc::default();
        let stage = Self {
            acts,
            slots,
            instance,
        };
        // One tells the pace of the handler, and the other wakes the watch.
        for text in ["first", "second"] {
            assert_ne!(stage.task_of(text).await, tokio::task::id());
        }
        stage
    }

    async fn task_of(&self, text: &str) -> tokio::task::Id {
        let response = self.instance.invoke(call(text), self.slots.permit()).await;
        complete(response.unwrap()).await;
        self.acts.last_task().expect("handlers run on tasks")
    }

    /// How a call fails that is polled here, and waits until its timeout if it waits.
    async fn fails(&self, text: &str) -> FunctionError {
        let before = self.slots.released();
        let mut call = self.instance.invoke(call(text), self.slots.permit());
        let response = match futures::poll!(&mut call) {
            std::task::Poll::Ready(response) => response,
            std::task::Poll::Pending => {
                tokio::task::yield_now().await;
                self.acts.clock.advance(config().timeout);
                call.await
            }
        };
        assert_eq!(self.slots.released(), before + 1, "the slot is free");
        let here = Some(tokio::task::id());
        assert_eq!(self.acts.last_task(), here, "it was polled here");
        failure(response.unwrap()).await
    }
}

/// Runs a test as a task of a runtime of its own, as callers in servers are.
fn on_a_task(test: impl Future<Output = ()> + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let ended = runtime.block_on(runtime.spawn(test));
    runtime.shutdown_background();
    ended.unwrap();
}

#[test]
fn a_prompt_handler_is_polled_where_it_is_called_and_its_first_call_is_not() {
    on_a_task(async {
        let stage = Stage::warm().await;
        assert_eq!(stage.task_of("again").await, tokio::task::id());
        assert_eq!(stage.task_of("yield").await, tokio::task::id());
        assert_eq!(stage.task_of("again").await, tokio::task::id());
    });
}

#[test]
fn a_handler_that_computes_gets_tasks_until_it_is_prompt_again() {
    on_a_task(async {
        let stage = Stage::warm().await;
        assert_eq!(stage.task_of("compute").await, tokio::task::id());
        assert_ne!(stage.task_of("compute").await, tokio::task::id());
        assert_ne!(stage.task_of("be prompt").await, tokio::task::id());
        assert_eq!(stage.task_of("again").await, tokio::task::id());
    });
}

#[test]
fn panics_are_failures_and_free_the_slot() {
    on_a_task(async {
        let stage = Stage::warm().await;
        for (text, message) in [
            ("panic", "on purpose"),
            ("panic later", "on purpose, later"),
        ] {
            let error = stage.fails(text).await;
            let (kind, text) = (&*error.kind, &*error.message);
            assert_eq!((kind, text), (FunctionError::PANIC, message));
            stage.task_of("still well").await;
        }
        assert_eq!(stage.instance.health(), Health::Ready);
    });
}

#[test]
fn a_timeout_drops_the_call_and_frees_the_slot() {
    on_a_task(async {
        let stage = Stage::warm().await;
        assert_eq!(stage.fails("hang").await.kind, FunctionError::TIMEOUT);
        assert_eq!(stage.acts.dropped.load(Ordering::SeqCst), 1);
        let error = stage.fails("panic when dropped").await;
        assert_eq!(error.kind, FunctionError::TIMEOUT);
        assert_eq!(stage.instance.health(), Health::Ready);
    });
}

#[test]
fn the_callers_deadline_is_no_failure_of_the_function() {
    on_a_task(async {
        let stage = Stage::warm().await;
        for text in ["hang", "at once"] {
            let late = call(text).with_deadline(Monotonic::ZERO);
            let answer = stage.instance.invoke(late, stage.slots.permit()).await;
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
        }
    });
}

#[test]
fn dropping_the_call_drops_the_handlers_future_at_once() {
    on_a_task(async {
        let stage = Stage::warm().await;
        let before = stage.slots.released();
        let mut pending = stage.instance.invoke(call("hang"), stage.slots.permit());
        assert!(futures::poll!(&mut pending).is_pending());
        drop(pending);
        assert_eq!(stage.acts.dropped.load(Ordering::SeqCst), 1);
        assert_eq!(stage.slots.released(), before + 1);

        let panics = call("panic when dropped");
        let mut pending = stage.instance.invoke(panics, stage.slots.permit());
        assert!(futures::poll!(&mut pending).is_pending());
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(pending)));
        assert!(dropped.is_ok(), "whoever drops a call does not panic");
        assert_eq!(stage.slots.released(), before + 2);
    });
}

#[test]
fn a_caller_of_another_runtime_gets_a_task_on_the_instances_own() {
    on_a_task(async {
        let stage = Stage::warm().await;
        let elsewhere = tokio::task::spawn_blocking(move || {
            let other = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            other.block_on(async move {
                let calls = tokio::spawn(async move {
                    assert_ne!(stage.task_of("elsewhere").await, tokio::task::id());
                });
                calls.await.unwrap();
            });
        });
        elsewhere.await.unwrap();
    });
}

/// Calls itself through its own instance, so many times within each other.
#[derive(Default)]
struct Recursive {
    instance: OnceLock<Arc<dyn FunctionInstance>>,
    tasks: Mutex<Vec<tokio::task::Id>>,
    slots: Arc<Slots>,
}

impl Recursive {
    async fn recur(self: Arc<Self>, request: HandlerCall) -> Made {
        self.tasks.lock().unwrap().push(tokio::task::id());
        let left: u32 = request.payload.to_text().unwrap().parse().unwrap();
        if left > 0 {
            let inner = call(&(left - 1).to_string());
            let instance = self.instance.get().unwrap();
            let response = instance.invoke(inner, self.slots.permit()).await?;
            complete(response).await;
        }
        Ok(Payload::empty().into())
    }
}

#[test]
fn calls_within_calls_do_not_pile_up_on_one_stack() {
    on_a_task(async {
        let recursive = Arc::<Recursive>::default();
        let inner = recursive.clone();
        let handler = move |call: HandlerCall| inner.clone().recur(call);
        let made = instance(handler, &Manual::new(), config()).await;
        assert!(recursive.instance.set(made.clone()).is_ok());
        for depth in ["0", "0", "0", "40"] {
            recursive.tasks.lock().unwrap().clear();
            let answer = made.invoke(call(depth), recursive.slots.permit()).await;
            complete(answer.unwrap()).await;
        }
        let tasks = recursive.tasks.lock().unwrap().clone();
        assert_eq!((tasks.len(), tasks[0]), (41, tokio::task::id()));
        for run in tasks.chunk_by(|one, other| one == other) {
            assert!(run.len() <= 5, "{} calls on one stack", run.len());
        }
    });
}

#[test]
fn one_that_never_yields_is_noticed_and_its_instance_quarantined() {
    let (free, blocked) = std::sync::mpsc::channel::<()>();
    let (enter, entered) = tokio::sync::oneshot::channel();
    let block = Mutex::new(Some((enter, blocked)));
    on_a_task(async move {
        let handler = move |request: HandlerCall| {
            if request.payload.to_text().unwrap() == "block" {
                let (enter, blocked) = block.lock().unwrap().take().unwrap();
                enter.send(std::thread::current().id()).unwrap();
                // In the call itself, before there is a future: that, too, is the handler's code.
                let _ = blocked.recv();
            }
            async { Made::Ok(Payload::empty().into()) }
        };
        let clock = Manual::new();
        let instance = instance(handler, &clock, config()).await;
        let slots = Arc::<Slots>::default();
        for _ in 0..3 {
            let answer = instance.invoke(call(""), slots.permit()).await;
            complete(answer.unwrap()).await;
        }
        // On a thread of its own: what blocks a worker keeps some of its tasks, this one perhaps.
        let caller = tokio::task::spawn_blocking({
            let (instance, slots) = (instance.clone(), slots.clone());
            move || {
                let error = Handle::current().block_on(async {
                    let answer = instance.invoke(call("block"), slots.permit()).await;
                    failure(answer.unwrap()).await
                });
                (error.kind, std::thread::current().id())
            }
        });
        let polled_on = entered.await.unwrap();
        let mut failed = instance.failed();
        let why = loop {
            tokio::task::yield_now().await;
            clock.advance(GRACE);
            if let std::task::Poll::Ready(why) = futures::poll!(&mut failed) {
                break why;
            }
        };
        assert!(why.contains("does not yield"), "{why}");
        assert!(clock.now() >= Monotonic::ZERO + config().timeout + GRACE);
        assert_eq!(slots.released(), 3, "it is still busy");
        let refused = instance.invoke(call(""), slots.permit()).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
        drop(free);
        let (kind, called_on) = caller.await.unwrap();
        assert_eq!((&*kind, called_on), (FunctionError::TIMEOUT, polled_on));
        assert_eq!(slots.released(), 5);
    });
}

#[test]
fn a_stream_may_begin_where_it_is_called() {
    on_a_task(async {
        let handler = |_: HandlerCall| async {
            let chunks = futures::stream::iter(["a", "b"]).map(|text| Ok(text.into()));
            let content_type = faas_core::ContentType::TEXT;
            Made::Ok(HandlerReply::Stream(content_type, chunks.boxed()))
        };
        let instance = instance(handler, &Manual::new(), config()).await;
        let slots = Arc::<Slots>::default();
        for released in 0..3 {
            let answer = instance.invoke(call(""), slots.permit()).await.unwrap();
            assert_eq!(slots.released(), released, "the body holds the slot");
            let done = complete(answer).await;
            assert_eq!(done.payload.to_text().unwrap(), "ab");
        }
    });
}
