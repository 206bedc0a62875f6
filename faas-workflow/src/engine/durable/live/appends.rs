//! Appends under way: what follows when they are stored, and when they fail.

use super::*;

/// How long an execution rests whose append failed, before it is loaded again.
const REST: Duration = Duration::from_millis(100);

impl Live {
    pub(super) fn fly(&mut self, mut step: Step) {
        let head = step.append.head.clone();
        let id = head.id;
        let successor = step.append.successor.as_ref().map(|next| next.head.id);
        if head.status().is_ended() {
            let away = successor.map_or(Away::Ending, Away::Continuing);
            self.away.insert(id, away);
        }
        if let Some(next) = successor {
            self.opened(next);
        }
        let under_way = self.under_way.entry(id).or_default();
        under_way.count += 1;
        let first = head.transition == TransitionNumber(1);
        let pipelined = head.settings.durability == Durability::Pipelined && !first;
        if pipelined && under_way.count <= AHEAD {
            self.run_ahead(id, &mut step);
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

    /// Calls functions before the append is stored; what is seen outside still waits for it.
    fn run_ahead(&mut self, id: ExecutionId, step: &mut Step) {
        for task in step.cancels.drain(..) {
            self.stop_task(id, task);
        }
        let inside = |launch: &mut Launch| {
            let function = matches!(launch.request.target, TaskTarget::Function(_));
            launch.execution == id && function && launch.request.token.is_none()
        };
        for launch in step.launches.extract_if(.., inside).collect::<Vec<_>>() {
            self.launch(launch);
        }
    }

    pub(super) fn landed(&mut self, flight: Flight, result: Result<()>) {
        let current = self.generations.get(&flight.head.id) == Some(&flight.generation);
        let mut waiting = flight.waiting;
        if current {
            waiting.extend(self.no_more_under_way(flight.head.id));
        }
        let flight = Flight {
            waiting: Vec::new(),
            ..flight
        };
        if let Err(error) = result {
            self.disappoint(waiting, &error);
            return self.crashed(flight, current, error);
        }
        let id = flight.head.id;
        for task in flight.cancels {
            self.stop_task(id, task);
        }
        for waiting in waiting {
            match waiting {
                Waiting::Started(reply) => drop(reply.send(Ok(flight.head.clone()))),
                Waiting::Told(reply) => drop(reply.send(Ok(()))),
                Waiting::Asked(reply, answer) => drop(reply.send(Ok(answer))),
                Waiting::Taken(reply, offer) => drop(reply.send(Ok(offer))),
                Waiting::Letter(_) => {}
            }
        }
        for launch in flight.launches {
            self.launch(launch);
        }
        self.tell_followers(&flight.head);
        self.ended(&flight.head);
    }

    /// One append less is under way; answers who waited for the last.
    fn no_more_under_way(&mut self, id: ExecutionId) -> Vec<Waiting> {
        let Some(appends) = self.under_way.get_mut(&id) else {
            return Vec::new();
        };
        appends.count -= 1;
        if appends.count > 0 {
            return Vec::new();
        }
        let last = self.under_way.remove(&id);
        last.map(|last| last.waiting).unwrap_or_default()
    }

    pub(super) fn disappoint(&mut self, waiting: Vec<Waiting>, error: &Error) {
        for waiting in waiting {
            match waiting {
                Waiting::Started(reply) => drop(reply.send(Err(error.clone().into()))),
                Waiting::Told(reply) => drop(reply.send(Err(error.clone().into()))),
                Waiting::Asked(reply, _) => drop(reply.send(Err(error.clone().into()))),
                Waiting::Taken(reply, offer) => {
                    self.not_handed(offer);
                    let _ = reply.send(Err(error.clone().into()));
                }
                Waiting::Letter(letter) => self.not_taken(letter),
            }
        }
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
        let waiters = self.waiters.remove(&head.id).into_iter().flatten();
        let followers = self.followers.remove(&head.id).into_iter().flatten();
        for waiter in waiters.chain(followers.map(|(_, reply)| reply)) {
            let _ = waiter.send(Ok(head.clone()));
        }
    }

    /// An append failed: what is in memory is not what is stored.
    fn crashed(&mut self, flight: Flight, current: bool, error: Error) {
        let id = flight.head.id;
        tracing::warn!(execution = %id, %error, "an append failed");
        if error.kind() == ErrorKind::PermissionDenied {
            self.lost = true;
            return;
        }
        if !current {
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

    /// Forgets what is in memory of it: what runs for it runs again when it is loaded again.
    pub(super) fn forget(&mut self, id: ExecutionId) {
        self.generations.remove(&id);
        for task in self.core.remove(id) {
            self.abort(id, task);
        }
        let under_way = self.under_way.remove(&id).map(|appends| appends.waiting);
        let waiting = self.waiting.remove(&id).into_iter().flatten();
        let waiting = waiting.chain(under_way.into_iter().flatten()).collect();
        let error = Error::unavailable("ask workflow engine", "the execution is loaded again");
        self.disappoint(waiting, &error.with_retry(faas_core::Retry::Ambiguous));
    }

    /// Another engine has it, or it is gone: the store will tell who waits.
    fn not_ours(&mut self, id: ExecutionId) {
        self.away.remove(&id);
        let waiters = self.waiters.remove(&id).into_iter().flatten();
        let followers = self.followers.remove(&id).into_iter().flatten();
        for waiter in waiters.chain(followers.map(|(_, reply)| reply)) {
            let _ = waiter.send(Err(Refusal::NotHere));
        }
    }

    pub(super) fn reload(&mut self, id: ExecutionId, abort: Option<TaskError>) {
        self.forget(id);
        self.away.insert(id, Away::Loading);
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
            Ok(None) => self.not_ours(id),
            Err(error) if error.kind() == ErrorKind::NotFound => self.not_ours(id),
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
    let program = shared.program(&stored.head).await?;
    Ok(Some(Message::Adopt {
        stored: Box::new(stored),
        program,
        abort,
        reply: None,
    }))
}
