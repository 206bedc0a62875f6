//! One attempt of one request: read, run, judged, written.

use std::sync::Arc;

use faas_core::encoding::decode;
use faas_core::store::{Batch, Precondition};
use faas_core::{Error, Invocation, InvocationId, Outcome, Payload, Result};
use jiff::Timestamp;

use super::Left;
use crate::queue::core::Waiting;
use crate::queue::item::{self, Dead, Item, Letter, SPACE};
use crate::queue::owner::Epoch;
use crate::queue::store::writing::{Placed, Written, free, put_dead, put_item, put_letter};
use crate::queue::store::{Shared, provenance};
use crate::queue::verdict::{self, Attempt, HOPS, Verdict};
use crate::queue::{Destination, QueueSettings, reasons};

/// Runs a request once.
///
/// # Errors
/// If the request cannot be read, or what came of it not written.
pub(super) async fn attempt(shared: &Arc<Shared>, epoch: Epoch, id: InvocationId) -> Result<Left> {
    let found = shared.store().get(&SPACE, &item::item(id)).await?;
    let Some(found) = found else {
        return Ok(Left::Gone {
            released: 1,
            new: None,
        });
    };
    let mut item: Item = decode(&found.value)?;
    let payload = shared.payload(id, &item.content_type, &item.place).await?;
    let now = shared.parts.clock.wall();
    if let Some(cause) = verdict::expired(&item, now) {
        return fail(shared, epoch, id, item, payload, cause).await;
    }
    let (attempt, response) = run(shared, id, &item, payload.clone()).await;
    let now = shared.parts.clock.wall();
    let mut random = shared.chance();
    match verdict::judge(&mut item, attempt, now, &mut random) {
        Verdict::Done => succeed(shared, epoch, id, item, response).await,
        Verdict::Dead { cause } => fail(shared, epoch, id, item, payload, cause).await,
        Verdict::Again { pause, counted } => {
            let reason = if counted {
                reasons::RETRY
            } else {
                reasons::REFUSED
            };
            let error = item.last_error.clone().unwrap_or_default();
            let reason = reason
                .with("attempt", item.failures)
                .with("attempts", item.settings.attempts)
                .with("error", error)
                .with("pause", pause);
            shared.explain(id, reason);
            let batch = put_item(Batch::new(), id, &item, Precondition::Present)?;
            match shared.write(epoch, id, batch).await? {
                Written::Done => Ok(Left::Waits(shared.now() + pause)),
                Written::Fenced => Ok(Left::Fenced),
            }
        }
    }
}

async fn run(
    shared: &Shared,
    id: InvocationId,
    item: &Item,
    payload: Payload,
) -> (Attempt, Payload) {
    let result = match &item.target {
        Destination::Function(function) => {
            let mut invocation = Invocation::new(id, function.clone(), payload)
                .with_caller(item.caller.clone())
                .with_attributes(item.attributes.clone())
                .with_idempotency_key(item.idempotency_key.clone());
            if let Some(Ok(trace)) = item.trace.as_deref().map(str::parse) {
                invocation = invocation.with_trace(trace);
            }
            invoke(shared, item, invocation).await
        }
        Destination::Workflow { namespace, name } => match &shared.parts.workflows {
            Some(workflows) => {
                let execution = format!("async-{id}");
                let started = workflows.start(namespace, name, &execution, payload).await;
                started.map(|()| (Attempt::Succeeded, Payload::empty()))
            }
            None => Err(Error::unsupported(
                "start workflow",
                "this queue starts no workflows",
            )),
        },
        Destination::Queue(queue) => {
            let message = format!("a request stands for queue {queue}, which takes messages");
            Err(Error::internal("run request", message))
        }
    };
    result.unwrap_or_else(|error| (Attempt::Refused(error), Payload::empty()))
}

async fn invoke(
    shared: &Shared,
    item: &Item,
    invocation: Invocation,
) -> Result<(Attempt, Payload)> {
    let response = shared.parts.invoker.invoke(invocation).await?;
    let completed = response.collect(shared.options.response_limit).await?;
    match completed.trailer.outcome {
        Outcome::Failure(error) => Ok((Attempt::Failed(error), Payload::empty())),
        Outcome::Success => {
            let kept = item.settings.on_success.is_some();
            let response = if kept {
                completed.payload
            } else {
                Payload::empty()
            };
            Ok((Attempt::Succeeded, response))
        }
    }
}

/// The request is gone with this batch, if it is there.
fn without(id: InvocationId, item: &Item) -> Batch {
    let batch = Batch::new().delete(SPACE, item::item(id), Precondition::Present);
    free(batch, id, &item.place)
}

async fn succeed(
    shared: &Shared,
    epoch: Epoch,
    id: InvocationId,
    item: Item,
    response: Payload,
) -> Result<Left> {
    let Some(destination) = item.settings.on_success.clone() else {
        let written = gone(shared, epoch, id, without(id, &item), 1, None).await?;
        shared.freed(&item.place);
        return Ok(written);
    };
    let reason = reasons::HANDED.with("destination", destination.to_string());
    let (batch, new, _placed) = hand_on(shared, id, &item, destination, response, None).await?;
    let written = gone(shared, epoch, id, batch, 0, new).await?;
    shared.explain(id, reason);
    shared.freed(&item.place);
    Ok(written)
}

async fn fail(
    shared: &Shared,
    epoch: Epoch,
    id: InvocationId,
    item: Item,
    payload: Payload,
    cause: String,
) -> Result<Left> {
    let Some(destination) = item.settings.on_failure.clone() else {
        shared.explain(id, reasons::DEAD.with("cause", cause.clone()));
        let at = shared.parts.clock.wall();
        // Its payload stays where it is.
        let batch = Batch::new().delete(SPACE, item::item(id), Precondition::Present);
        let batch = put_dead(batch, id, &Dead { item, cause, at })?;
        return gone(shared, epoch, id, batch, 0, None).await;
    };
    let reason = reasons::FAILED
        .with("destination", destination.to_string())
        .with("cause", cause.clone());
    let handed = hand_on(shared, id, &item, destination, payload, Some(&cause));
    let (batch, new, _placed) = handed.await?;
    let written = gone(shared, epoch, id, batch, 0, new).await?;
    shared.explain(id, reason);
    shared.freed(&item.place);
    Ok(written)
}

async fn gone(
    shared: &Shared,
    epoch: Epoch,
    id: InvocationId,
    batch: Batch,
    released: usize,
    new: Option<Waiting>,
) -> Result<Left> {
    Ok(match shared.write(epoch, id, batch).await? {
        Written::Done => Left::Gone { released, new },
        Written::Fenced => Left::Fenced,
    })
}

/// The batch that ends a request and hands on what it came to.
async fn hand_on(
    shared: &Shared,
    id: InvocationId,
    item: &Item,
    destination: Destination,
    payload: Payload,
    error: Option<&str>,
) -> Result<(Batch, Option<Waiting>, Placed)> {
    let now = shared.parts.clock.wall();
    let next: InvocationId = shared.parts.ids.next();
    let attributes = provenance(id, &item.target, error);
    let fits = shared.holds(&payload);
    let size = payload.len();
    let placed = match fits {
        true => shared.place(payload.clone()).await?,
        false => Placed::nothing(&payload),
    };
    if let (Destination::Queue(queue), true) = (&destination, fits) {
        let letter = Letter {
            content_type: payload.content_type().clone(),
            place: placed.place.clone(),
            attributes,
            at: now,
        };
        let batch = placed.put(without(id, item), next)?;
        return Ok((put_letter(batch, queue, next, &letter)?, None, placed));
    }
    let settings = match &destination {
        Destination::Function(function) => shared.parts.settings.settings(function).await,
        _ => Ok(QueueSettings::default()),
    };
    let hopeless = match &settings {
        Err(error) if error.retry() == faas_core::Retry::Never => Some(error.to_string()),
        Err(error) => return Err(error.clone()),
        Ok(_) if !fits => Some(format!("{size} bytes are more than the store can hold")),
        Ok(_) if item.hops >= HOPS => Some(format!(
            "{HOPS} requests led to it, each by way of a destination: it is a circle"
        )),
        Ok(_) => None,
    };
    let settings = settings.unwrap_or_default();
    let new = Item {
        target: destination,
        content_type: payload.content_type().clone(),
        place: placed.place.clone(),
        attributes,
        idempotency_key: format!(
            "{id}-{}",
            if error.is_some() {
                "failure"
            } else {
                "success"
            }
        )
        .into(),
        accepted: now,
        expires: now.checked_add(settings.max_age).unwrap_or(Timestamp::MAX),
        failures: 0,
        refusals: 0,
        due: None,
        last_error: None,
        hops: item.hops + 1,
        settings,
        caller: item.caller.clone(),
        trace: item.trace.clone(),
    };
    let batch = placed.put(without(id, item), next)?;
    if let Some(cause) = hopeless {
        shared.explain(next, reasons::DEAD.with("cause", cause.clone()));
        let dead = Dead {
            item: new,
            cause,
            at: now,
        };
        return Ok((put_dead(batch, next, &dead)?, None, placed));
    }
    let waiting = shared.waiting(next, &new);
    let batch = put_item(batch, next, &new, Precondition::Absent)?;
    Ok((batch, Some(waiting), placed))
}
