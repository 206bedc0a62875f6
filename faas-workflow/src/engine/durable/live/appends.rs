//! Appends under way: what follows when they are stored, and when they fail.

use super::*;

/// How long an execution rests whose append failed, before it is loaded again.
const REST: Duration = Duration::from_millis(100);

impl Live {
    pub(super) fn fly(&mut self, step: Step) {
        let head = step.append.head.clone();
        let id = head.id;
        if head.status().is_ended() {
            self.away.insert(id);
        }
        let successor = step.append.successor.as_ref().map(|next| next.head.id);
        if let Some(next) = successor {
            self.opened(next);
        }
        let flight = Flight {
            successor,
            generation: self.generations.get(&id).copied().unwrap_or_default(),
            launches: step.launches,
            cancels: step.cancels,
            waiting: self.waiting.remove(&id).unwrap_or_default(),
            head,
        };
        let stored = self.store.append(step.append);
        self.flights
            .push(stored.map(|result| (flight, result)).boxed());
    }

    pub(super) fn landed(&mut self, flight: Flight, result: Result<()>) {
        if let Err(error) = result {
            return self.crashed(flight, error);
        }
        let id = flight.head.id;
        for task in flight.cancels {
            self.abort(id, task);
        }
        for waiting in flight.waiting {
            match waiting {
                Waiting::Started(reply) => drop(reply.send(Ok(flight.head.clone()))),
                Waiting::Told(reply) => drop(reply.send(Ok(()))),
            }
        }
        for launch in flight.launches {
            self.launch(launch);
        }
        self.ended(&flight.head);
    }

    pub(super) fn ended(&mut self, head: &ExecutionHead) {
        if !head.status().is_ended() {
            return;
        }
        self.away.remove(&head.id);
        self.generations.remove(&head.id);
        let workflow = head.workflow.name.to_string();
        let outcome = head.status().label();
        metrics::counter!(faas_core::telemetry::EXECUTIONS, "workflow" => workflow, "outcome" => outcome)
            .increment(1);
        if let Some(Ending::Failed(error)) = &head.ending {
            tracing::info!(execution = %head.id, %error, "an execution failed");
        }
        for waiter in self.waiters.remove(&head.id).into_iter().flatten() {
            let _ = waiter.send(Ok(head.clone()));
        }
    }

    /// An append failed: what is in memory is not what is stored.
    pub(super) fn crashed(&mut self, flight: Flight, error: Error) {
        let id = flight.head.id;
        tracing::warn!(execution = %id, %error, "an append failed");
        for waiting in flight.waiting {
            match waiting {
                Waiting::Started(reply) => drop(reply.send(Err(error.clone()))),
                Waiting::Told(reply) => drop(reply.send(Err(error.clone()))),
            }
        }
        if error.kind() == ErrorKind::PermissionDenied {
            self.lost = true;
            return;
        }
        if self.generations.get(&id) != Some(&flight.generation) {
            return; // It has been loaded again since.
        }
        let first = flight.head.transition == TransitionNumber(1);
        if first && error.retry() != faas_core::Retry::Ambiguous {
            self.forget(id);
            self.away.remove(&id);
            return;
        }
        let too_large = error.kind() == ErrorKind::InvalidArgument;
        let abort = too_large.then(|| TaskError::new("Platform.LimitExceeded", error.to_string()));
        if let Some(next) = flight.successor {
            self.forget(next);
        }
        self.reload(id, abort);
    }

    pub(super) fn forget(&mut self, id: ExecutionId) {
        self.generations.remove(&id);
        for task in self.core.remove(id) {
            self.abort(id, task);
        }
    }

    pub(super) fn reload(&mut self, id: ExecutionId, abort: Option<TaskError>) {
        self.forget(id);
        self.away.insert(id);
        let (shared, epoch) = (self.shared.clone(), self.epoch);
        let rest = self.clock.sleep_until(self.clock.now() + REST);
        let reload = async move {
            rest.await;
            let Some(shared) = shared.upgrade() else {
                return (id, Ok(None), None);
            };
            (id, load(&shared, id, epoch, abort.clone()).await, abort)
        };
        self.reloads.push(reload.boxed());
    }

    pub(super) fn reloaded(&mut self, (id, result, abort): Reloaded) {
        match result {
            Ok(Some(message)) => self.message(message),
            Ok(None) => {
                self.away.remove(&id);
                self.waiters.remove(&id);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.away.remove(&id);
                self.waiters.remove(&id);
            }
            Err(error) => {
                tracing::warn!(execution = %id, %error, "an execution was not loaded again");
                self.reload(id, abort);
            }
        }
    }
}

/// What there is to adopt; nothing if another live engine has the execution.
async fn load(
    shared: &Shared,
    id: ExecutionId,
    epoch: Epoch,
    abort: Option<TaskError>,
) -> Result<Option<Message>> {
    let stored = shared.executions.load(id).await?;
    let live = shared.executions.epochs().list().await?;
    let theirs = stored.head.epoch != epoch && live.iter().any(|s| s.epoch == stored.head.epoch);
    if theirs && !stored.head.status().is_ended() {
        return Ok(None);
    }
    let program = shared
        .registry
        .get(&stored.head.workflow)
        .await?
        .program
        .clone();
    Ok(Some(Message::Adopt {
        stored: Box::new(stored),
        program,
        abort,
        reply: None,
    }))
}
