//! What the loop is asked, and what it makes of it.

use super::*;

impl Live {
    pub(super) fn message(&mut self, message: Message) {
        match message {
            Message::Shutdown { deadline, reply } => {
                let (at, replies) = self.closing.get_or_insert((deadline, Vec::new()));
                *at = deadline.min(*at);
                replies.push(reply);
            }
            Message::Start { reply, .. } if self.closing.is_some() => {
                let _ = reply.send(Err(closed()));
            }
            Message::Start {
                head,
                program,
                input,
                reply,
            } => self.begin(*head, program, input, reply),
            Message::Event {
                execution,
                kind,
                reply,
            } => self.told(execution, kind, reply),
            Message::Wait { execution, reply } => {
                if self.core.execution(execution).is_some() || self.away.contains(&execution) {
                    let waiters = self.waiters.entry(execution).or_default();
                    waiters.retain(|waiter| !waiter.is_closed());
                    waiters.push(reply);
                } else {
                    let _ = reply.send(Err(Error::not_found("wait", "it is not open here")));
                }
            }
            Message::Adopt {
                stored,
                program,
                abort,
                reply,
            } => self.adopt(*stored, program, abort, reply),
        }
    }

    pub(super) fn begin(
        &mut self,
        head: ExecutionHead,
        program: Arc<dyn Program>,
        input: Data,
        reply: Reply<ExecutionHead>,
    ) {
        if self.core.len() >= self.options.executions {
            let message = format!("{} executions are open", self.core.len());
            let full = Error::exhausted("start execution", message);
            let _ = reply.send(Err(full.with_retry_after(Duration::from_secs(1))));
            return;
        }
        let id = head.id;
        match self.core.begin(head, program, input, self.clock.now()) {
            Ok(()) => {
                self.opened(id);
                self.waiting
                    .entry(id)
                    .or_default()
                    .push(Waiting::Started(reply));
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    pub(super) fn opened(&mut self, id: ExecutionId) {
        self.generation += 1;
        self.generations.insert(id, self.generation);
        self.away.remove(&id);
    }

    pub(super) fn adopt(
        &mut self,
        stored: StoredExecution,
        program: Arc<dyn Program>,
        abort: Option<TaskError>,
        reply: Option<Reply<()>>,
    ) {
        let id = stored.head.id;
        if self.core.execution(id).is_some() || stored.head.status().is_ended() {
            self.away.remove(&id);
            self.ended(&stored.head);
            reply.map(|reply| reply.send(Ok(())));
            return;
        }
        match ExecutionCore::restore(stored, program) {
            Ok(core) => {
                self.core.insert(core, self.clock.now());
                self.opened(id);
                let at = self.clock.wall();
                self.apply(id, EngineEvent::Adopted { at });
                if let Some(error) = abort {
                    self.event(id, EventKind::Aborted(error));
                }
                let waiting = reply.map(Waiting::Told);
                self.waiting.entry(id).or_default().extend(waiting);
            }
            Err(error) => {
                tracing::error!(execution = %id, %error, "an execution cannot go on");
                reply.map(|reply| reply.send(Err(error)));
            }
        }
    }

    pub(super) fn told(&mut self, id: ExecutionId, kind: EventKind, reply: Reply<()>) {
        let open = self.core.execution(id);
        // What ended in this very turn takes nothing more, though its end is not stored yet.
        let ended = open.is_some_and(|core| core.head().ending.is_some());
        if open.is_none() || ended {
            let missing = match ended || self.away.contains(&id) {
                true => Error::conflict("signal execution", "it has just ended"),
                false => Error::not_found("signal execution", "it is not open here"),
            };
            let _ = reply.send(Err(missing));
            return;
        }
        self.event(id, kind);
        self.waiting
            .entry(id)
            .or_default()
            .push(Waiting::Told(reply));
    }
}
