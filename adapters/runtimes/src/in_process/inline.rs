//! [`Inline`]: a handler's call, polled on the task of whoever called it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use faas_core::{Handler, HandlerCall};
use futures::future::BoxFuture;

use super::task::{Ended, Guests, Reply, panicked};
use crate::limit::Limit;

/// A call without a task of its own, and without a timer until it has to wait. Dropping it stops
/// the call.
pub(super) struct Inline<'a> {
    guests: &'a Guests,
    limit: &'a Limit,
    handler: &'a dyn Handler,
    call: Option<HandlerCall>,
    work: Option<BoxFuture<'a, Reply>>,
    sleep: Option<BoxFuture<'static, ()>>,
    /// The longest poll, if it was ever pending.
    longest: Option<Duration>,
}

impl<'a> Inline<'a> {
    pub(super) fn new(
        guests: &'a Guests,
        limit: &'a Limit,
        handler: &'a dyn Handler,
        call: HandlerCall,
    ) -> Self {
        Self {
            guests,
            limit,
            handler,
            call: Some(call),
            work: None,
            sleep: None,
            longest: None,
        }
    }

    /// The longest poll of a call that has ended; `None` if there was but one.
    pub(super) fn longest(&self) -> Option<Duration> {
        self.longest
    }

    fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<Ended<Reply>> {
        let late_at = self.limit.timeout_at() + self.guests.grace;
        let (handler, work, call) = (self.handler, &mut self.work, self.call.take());
        let poll = || {
            if let Some(call) = call {
                *work = Some(handler.call(call));
            }
            work.as_mut().map(|work| work.as_mut().poll(context))
        };
        let polled = self
            .guests
            .watched
            .during(late_at, || catch_unwind(AssertUnwindSafe(poll)));
        match polled {
            Ok(Some(Poll::Ready(reply))) => Poll::Ready(Ended::Done(reply)),
            Ok(Some(Poll::Pending)) => Poll::Pending,
            Ok(None) => Poll::Ready(Ended::Lost(self.guests.gone("it has ended already"))),
            Err(panic) => Poll::Ready(Ended::Failed(panicked(&*panic))),
        }
    }

    /// Drops what is left of the handler's future: that, too, is the handler's code.
    fn end(&mut self) {
        let Some(work) = self.work.take() else { return };
        let late_at = self.limit.timeout_at() + self.guests.grace;
        let end = || catch_unwind(AssertUnwindSafe(|| drop(work)));
        if let Err(panic) = self.guests.watched.during(late_at, end) {
            let error = panicked(&*panic);
            tracing::warn!(instance = %self.guests.lifecycle.id(), %error, "as it was dropped");
        }
    }
}

impl Future for Inline<'_> {
    type Output = Ended<Reply>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let start = match this.longest {
            None => this.limit.started(),
            Some(_) => this.limit.now(),
        };
        let polled = this.poll_work(context);
        if polled.is_pending() || this.longest.is_some() {
            let took = this.limit.now().since(start);
            this.longest = Some(this.longest.unwrap_or_default().max(took));
        }
        let ended = match polled {
            Poll::Ready(ended) => ended,
            Poll::Pending => {
                let sleep = this.sleep.get_or_insert_with(|| this.limit.sleep());
                ready!(sleep.as_mut().poll(context));
                this.guests.expired(this.limit)
            }
        };
        this.end();
        Poll::Ready(ended)
    }
}

impl Drop for Inline<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
