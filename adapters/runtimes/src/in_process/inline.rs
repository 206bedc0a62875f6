//! [`Inline`]: a handler's call, polled on the task of whoever called it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use faas_core::{HandlerCall, Invocation, InvocationId, Monotonic, Response, Result};
use faas_function::instance::Permit;
use futures::future::BoxFuture;

use super::instance::Instance;
use super::task::{Ended, Reply, panicked};
use crate::lifecycle::{Busy, Lifecycle};
use crate::limit::Bounds;

/// An invocation, without a task of its own if it may be so, and then without a timer until it has
/// to wait. Dropping it stops the call.
///
/// Written by hand, for a warm call consists of little else: as an `async fn` it would hold its
/// arguments twice, and all that only some calls need.
pub(super) struct Inline<'a> {
    instance: &'a Instance,
    /// Until the first poll.
    asked: Option<(Invocation, Permit)>,
    /// After a first poll that was pending.
    later: Later<'a>,
}

enum Later<'a> {
    // Boxed: most calls never come to it, and all would pay for its size.
    Waits(Box<Waits<'a>>),
    Spawned(BoxFuture<'a, Result<Response>>),
    Ended,
}

/// A call that was pending.
struct Waits<'a> {
    id: InvocationId,
    bounds: Bounds,
    // Before the slot: that is free when the handler's future is gone.
    work: Work<'a>,
    busy: Busy<&'a Arc<Lifecycle>>,
    sleep: BoxFuture<'static, ()>,
    /// The longest poll until now.
    longest: Duration,
}

/// A handler's future. To drop it is to run the handler's code, too.
struct Work<'a> {
    instance: &'a Instance,
    late_at: Monotonic,
    future: Option<BoxFuture<'a, Reply>>,
}

/// Runs the handler's code: it may panic, and it may never return.
fn guarded<T>(
    instance: &Instance,
    late_at: Monotonic,
    code: impl FnOnce() -> T,
) -> Result<T, faas_core::FunctionError> {
    let watched = &instance.guests.watched;
    let code = || catch_unwind(AssertUnwindSafe(code));
    watched
        .during(late_at, code)
        .map_err(|panic| panicked(&*panic))
}

impl Work<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ended<Reply>> {
        let (instance, late_at) = (self.instance, self.late_at);
        let Some(future) = &mut self.future else {
            return Poll::Ready(Ended::Lost(instance.guests.gone("it has ended already")));
        };
        match guarded(instance, late_at, || future.as_mut().poll(context)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(reply)) => Poll::Ready(Ended::Done(reply)),
            Err(error) => Poll::Ready(Ended::Failed(error)),
        }
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let Some(future) = self.future.take() else {
            return;
        };
        if let Err(error) = guarded(self.instance, self.late_at, || drop(future)) {
            let id = self.instance.guests.lifecycle.id();
            tracing::warn!(instance = %id, %error, "as its future was dropped");
        }
    }
}

impl<'a> Inline<'a> {
    pub(super) fn new(instance: &'a Instance, invocation: Invocation, permit: Permit) -> Self {
        Self {
            instance,
            asked: Some((invocation, permit)),
            later: Later::Ended,
        }
    }

    /// The first poll: most calls end in it.
    fn begin(
        &mut self,
        invocation: Invocation,
        permit: Permit,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response>> {
        let instance = self.instance;
        let guests = &*instance.guests;
        let bounds = instance.bounds(&permit, invocation.deadline);
        let busy = guests.lifecycle.begin_here(permit)?;
        let id = invocation.id;
        let call = HandlerCall::from(invocation);
        if !guests.may_inline() {
            let call = instance.spawned(id, call, bounds, busy.into_owned());
            self.later = Later::Spawned(Box::pin(call));
            return self.resume(context);
        }
        let late_at = bounds.timeout_at() + guests.grace;
        let first = guarded(instance, late_at, || {
            let mut future = instance.handler.call(call);
            match future.as_mut().poll(context) {
                Poll::Ready(reply) => Ok(reply),
                Poll::Pending => Err(future),
            }
        });
        let ended = match first {
            Ok(Ok(reply)) => Ended::Done(reply),
            Err(error) => Ended::Failed(error),
            Ok(Err(future)) => {
                self.later = Later::Waits(Box::new(Waits {
                    id,
                    bounds,
                    work: Work {
                        instance,
                        late_at,
                        future: Some(future),
                    },
                    busy,
                    sleep: guests.clock.sleep_until(bounds.end()),
                    longest: guests.clock.now().since(bounds.started()),
                }));
                return self.bound(context);
            }
        };
        let response = respond(instance, id, &bounds, ended, busy);
        // There was but one poll: it took as long as all of it, which the response says.
        if let Ok(response) = &response
            && let Some(trailer) = response.body.trailer()
        {
            guests.pace.took(trailer.usage.duration);
        }
        Poll::Ready(response)
    }

    /// A later poll.
    fn resume(&mut self, context: &mut Context<'_>) -> Poll<Result<Response>> {
        let waits = match &mut self.later {
            Later::Spawned(task) => return task.as_mut().poll(context),
            Later::Waits(waits) => waits,
            Later::Ended => {
                let error = self.instance.guests.gone("it has ended already");
                return Poll::Ready(Err(error));
            }
        };
        let clock = &self.instance.guests.clock;
        let start = clock.now();
        let polled = waits.work.poll(context);
        waits.longest = waits.longest.max(clock.now().since(start));
        match polled {
            Poll::Ready(ended) => Poll::Ready(self.end(ended)),
            Poll::Pending => self.bound(context),
        }
    }

    /// Whether the time of a call that waits is over.
    fn bound(&mut self, context: &mut Context<'_>) -> Poll<Result<Response>> {
        let Later::Waits(waits) = &mut self.later else {
            return Poll::Pending;
        };
        ready!(waits.sleep.as_mut().poll(context));
        let ended = self.instance.guests.expired(&waits.bounds);
        Poll::Ready(self.end(ended))
    }

    fn end(&mut self, ended: Ended<Reply>) -> Result<Response> {
        let Later::Waits(waits) = std::mem::replace(&mut self.later, Later::Ended) else {
            return Err(self.instance.guests.gone("it has ended already"));
        };
        let Waits {
            id,
            bounds,
            work,
            busy,
            longest,
            ..
        } = *waits;
        drop(work);
        self.instance.guests.pace.took(longest);
        respond(self.instance, id, &bounds, ended, busy)
    }
}

/// The slot is free as soon as the handler has ended, but for an answer that streams.
fn respond(
    instance: &Instance,
    id: InvocationId,
    bounds: &Bounds,
    ended: Ended<Reply>,
    busy: Busy<&Arc<Lifecycle>>,
) -> Result<Response> {
    instance.respond(id, bounds, ended, || Some(busy.into_owned()))
}

impl Future for Inline<'_> {
    type Output = Result<Response>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.asked.take() {
            Some((invocation, permit)) => this.begin(invocation, permit, context),
            None => this.resume(context),
        }
    }
}
