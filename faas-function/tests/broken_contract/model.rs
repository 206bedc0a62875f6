//! An instance that does all that its contract asks for but one thing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use faas_core::{
    Body, Clock, ContentType, Error, ErrorKind, Frame, FunctionError, Handler, HandlerCall,
    HandlerReply, InstanceId, Invocation, InvocationId, Monotonic, Response, Result, Retry,
    Trailer,
};
use faas_function::instance::conformance::{Setup, Subject};
use faas_function::instance::{FunctionInstance, Health, Permit};
use faas_resource::agent::ExitCause;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::sync::{Semaphore, watch};

/// What a [`Model`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    FailsAsError,
    FreesEarly,
    KeepsItsSlot,
    SticksAfterTimeout,
    OneAtATime,
    MixesUp,
    RunsOn,
    DeadIsSafe,
    DeadIsFailure,
    LateIsAmbiguous,
    ExitIsLost,
    ExitHasNoCause,
    FailsEarly,
    NeverFails,
    DrainsAtOnce,
    DrainsForEver,
    TakesWhileDraining,
    NoLimit,
    NoStreamLimit,
    NoTimeout,
    DeadlineIsTimeout,
    Collects,
    NoTrailer,
}

pub(crate) struct Model {
    pub(crate) id: InstanceId,
    pub(crate) subject: Subject,
    pub(crate) setup: Setup,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fault: Fault,
    pub(crate) state: Arc<State>,
}

pub(crate) struct State {
    running: watch::Sender<usize>,
    pub(crate) ended: watch::Sender<Option<ExitCause>>,
    draining: AtomicBool,
    stuck: AtomicBool,
    slots: Arc<Semaphore>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            running: watch::Sender::new(0),
            ended: watch::Sender::new(None),
            draining: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            slots: Arc::new(Semaphore::new(1)),
        }
    }
}

/// A call that runs.
struct Busy {
    state: Arc<State>,
    permit: Option<Permit>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.state.running.send_modify(|running| *running -= 1);
        drop(self.permit.take());
    }
}

fn gone(why: impl std::fmt::Display, retry: Retry) -> Error {
    Error::unavailable("invoke", format!("{why}")).with_retry(retry)
}

impl Model {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// What its sandbox's end means for a call that it had.
    fn dead(&self, cause: &ExitCause) -> Result<FunctionError> {
        if cause.is_its_own() && !self.is(Fault::ExitIsLost) || self.is(Fault::DeadIsFailure) {
            let message = match self.is(Fault::ExitHasNoCause) {
                true => "it is gone".to_owned(),
                false => format!("it has {cause}"),
            };
            return Ok(FunctionError::new(FunctionError::EXIT, message));
        }
        let safe = self.is(Fault::DeadIsSafe);
        let retry = if safe { Retry::Safe } else { Retry::Ambiguous };
        Err(gone(cause, retry))
    }

    /// When the call must have ended, and what it is then.
    fn bounds(&self, deadline: Option<Monotonic>) -> (BoxFuture<'static, ()>, Late) {
        let timeout = self.clock.now() + self.setup.timeout;
        if let Some(deadline) = deadline.filter(|deadline| *deadline < timeout)
            && !self.is(Fault::DeadlineIsTimeout)
        {
            return (self.clock.sleep_until(deadline), Late::Deadline);
        }
        if self.is(Fault::NoTimeout) {
            return (Box::pin(futures::future::pending()), Late::Timeout);
        }
        let end = deadline.map_or(timeout, |deadline| deadline.min(timeout));
        (self.clock.sleep_until(end), Late::Timeout)
    }

    fn late(&self, late: Late) -> Result<FunctionError> {
        match late {
            Late::Deadline => Err(Error::new(
                ErrorKind::DeadlineExceeded,
                Retry::Ambiguous,
                "invoke",
                "nobody waits any longer",
            )),
            Late::Timeout => {
                let stuck = self.is(Fault::SticksAfterTimeout);
                self.state.stuck.store(stuck, Ordering::SeqCst);
                Ok(FunctionError::new(FunctionError::TIMEOUT, "too slow"))
            }
        }
    }

    fn begin(&self, mut permit: Option<Permit>) -> Result<Busy> {
        if self.is(Fault::FreesEarly) {
            drop(permit.take());
        }
        if self.is(Fault::KeepsItsSlot) {
            std::mem::forget(permit.take());
        }
        self.state.running.send_modify(|running| *running += 1);
        let state = self.state.clone();
        let busy = Busy { state, permit };
        if let Some(cause) = &*self.state.ended.borrow() {
            let ambiguous = self.is(Fault::LateIsAmbiguous);
            let retry = if ambiguous {
                Retry::Ambiguous
            } else {
                Retry::Safe
            };
            return Err(gone(cause, retry));
        }
        let draining = self.state.draining.load(Ordering::SeqCst);
        match draining && !self.is(Fault::TakesWhileDraining) {
            true => Err(gone("it drains", Retry::Safe)),
            false => Ok(busy),
        }
    }

    async fn run(self: Arc<Self>, invocation: Invocation, permit: Permit) -> Result<Response> {
        let busy = self.begin(Some(permit))?;
        let slots = self.state.slots.clone();
        let _turn = match self.is(Fault::OneAtATime) {
            true => slots.acquire().await.ok(),
            false => None,
        };
        if self.state.stuck.load(Ordering::SeqCst) {
            futures::future::pending::<()>().await;
        }
        let mixed = self.is(Fault::MixesUp);
        let id = if mixed {
            InvocationId::from_u128(0)
        } else {
            invocation.id
        };
        let (mut late, what) = self.bounds(invocation.deadline);
        let mut ended = self.state.ended.subscribe();
        let reply = tokio::select! {
            biased;
            reply = self.subject.call(HandlerCall::from(invocation)) => reply,
            cause = wait(&mut ended) => return Ok(Response::failure(id, self.dead(&cause)?)),
            () = &mut late => return Ok(Response::failure(id, self.late(what)?)),
        };
        match reply {
            Ok(HandlerReply::Stream(kind, chunks)) => {
                let limit = match self.is(Fault::NoStreamLimit) {
                    true => u64::MAX,
                    false => self.setup.response_limit,
                };
                let collects = self.is(Fault::Collects);
                let flow = Flow {
                    model: self,
                    busy,
                    chunks,
                    late,
                    what,
                    left: limit,
                };
                match collects {
                    true => flow.collect(id, kind).await,
                    false => Ok(Response::new(id, kind, flow.body())),
                }
            }
            Ok(HandlerReply::Whole(payload)) => {
                let large = payload.len() as u64 > self.setup.response_limit;
                match large && !self.is(Fault::NoLimit) {
                    true => Ok(Response::failure(id, large_error())),
                    false => Ok(Response::success(id, payload)),
                }
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) if self.is(Fault::FailsAsError) => {
                Err(Error::internal("invoke", error.to_string()))
            }
            Err(error) => Ok(Response::failure(id, error)),
        }
    }
}

fn large_error() -> FunctionError {
    FunctionError::new(FunctionError::RESPONSE_TOO_LARGE, "too large")
}

async fn wait(ended: &mut watch::Receiver<Option<ExitCause>>) -> ExitCause {
    let cause = ended.wait_for(Option::is_some).await.expect("its sender");
    cause.clone().expect("it is there")
}

#[derive(Clone, Copy)]
pub(crate) enum Late {
    Deadline,
    Timeout,
}

/// A body on its way.
struct Flow {
    model: Arc<Model>,
    busy: Busy,
    chunks: BoxStream<'static, Result<Bytes, FunctionError>>,
    late: BoxFuture<'static, ()>,
    what: Late,
    left: u64,
}

impl Flow {
    /// The next data; else the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Result<FunctionError>> {
        let mut ended = self.model.state.ended.subscribe();
        let chunk = tokio::select! {
            biased;
            chunk = self.chunks.next() => chunk,
            cause = wait(&mut ended) => return Err(self.model.dead(&cause)),
            () = &mut self.late => return Err(self.model.late(self.what)),
        };
        let Some(chunk) = chunk.transpose().map_err(Ok)? else {
            return Ok(None);
        };
        let left = self.left.checked_sub(chunk.len() as u64);
        self.left = left.ok_or_else(|| Ok(large_error()))?;
        Ok(Some(chunk))
    }

    fn body(self) -> Body {
        Body::stream(futures::stream::unfold(Some(self), |flow| async move {
            let mut flow = flow?;
            match flow.next().await {
                Ok(Some(data)) => Some((Ok(Frame::Data(data)), Some(flow))),
                Ok(None) if flow.model.is(Fault::NoTrailer) => None,
                end => {
                    drop(flow.busy);
                    Some((trailer(end.map(drop)).map(Frame::Trailer), None))
                }
            }
        }))
    }

    async fn collect(mut self, id: InvocationId, kind: ContentType) -> Result<Response> {
        let mut all = BytesMut::new();
        let end = loop {
            match self.next().await {
                Ok(Some(data)) => all.extend_from_slice(&data),
                end => break end.map(drop),
            }
        };
        Ok(Response::new(id, kind, Body::whole(all, trailer(end)?)))
    }
}

fn trailer(end: Result<(), Result<FunctionError>>) -> Result<Trailer> {
    match end {
        Ok(()) => Ok(Trailer::success()),
        Err(error) => Ok(Trailer::failure(error?)),
    }
}

/// What the suites are given: a model, in an `Arc` that its calls share.
pub(crate) struct Instance(pub(crate) Arc<Model>);

#[async_trait]
impl FunctionInstance for Instance {
    fn id(&self) -> InstanceId {
        self.0.id
    }
    async fn invoke(&self, invocation: Invocation, permit: Permit) -> Result<Response> {
        let run = self.0.clone().run(invocation, permit);
        match self.0.is(Fault::RunsOn) {
            true => tokio::spawn(run).await.expect("no panic"),
            false => run.await,
        }
    }
    fn health(&self) -> Health {
        match &*self.0.state.ended.borrow() {
            Some(cause) => Health::Failed(cause.to_string()),
            None if self.0.state.draining.load(Ordering::SeqCst) => Health::Draining,
            None => Health::Ready,
        }
    }
    fn failed(&self) -> BoxFuture<'static, String> {
        if self.0.is(Fault::FailsEarly) {
            return Box::pin(async { "too early".to_owned() });
        }
        if self.0.is(Fault::NeverFails) {
            return Box::pin(futures::future::pending());
        }
        let mut ended = self.0.state.ended.subscribe();
        Box::pin(async move { wait(&mut ended).await.to_string() })
    }
    async fn drain(&self, deadline: Monotonic) -> Result<()> {
        self.0.state.draining.store(true, Ordering::SeqCst);
        if self.0.is(Fault::DrainsAtOnce) {
            return Ok(());
        }
        let mut running = self.0.state.running.subscribe();
        let late = self.0.clock.sleep_until(deadline);
        let idle = running.wait_for(|running| *running == 0);
        tokio::select! {
            biased;
            _ = idle => Ok(()),
            () = late, if !self.0.is(Fault::DrainsForEver) => {
                Err(Error::deadline_exceeded("drain", "some still run"))
            }
        }
    }
}
