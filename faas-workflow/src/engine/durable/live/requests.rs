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
                let _ = reply.send(Err(closed().into()));
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
                if self.core.execution(execution).is_some() || self.away.contains_key(&execution) {
                    let waiters = self.waiters.entry(execution).or_default();
                    waiters.retain(|waiter| !waiter.is_closed());
                    waiters.push(reply);
                } else {
                    let _ = reply.send(Err(Refusal::NotHere));
                }
            }
            Message::Redrive {
                stored,
                program,
                reply,
            } => self.redrive(*stored, program, reply),
            Message::Complete {
                token,
                result,
                reply,
            } => self.complete(&token, result, reply),
            Message::Heartbeat { token, reply } => self.heartbeat(&token, reply),
            Message::Letter(letter) => self.letter(letter),
            Message::Changed {
                execution,
                after,
                reply,
            } => self.follow(execution, after, reply),
            Message::Poll { request, reply } => self.poll(request, reply),
            Message::Query {
                execution,
                query,
                reply,
            } => self.query(execution, &query, reply),
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
            let full = full.with_retry_after(Duration::from_secs(1));
            let _ = reply.send(Err(full.into()));
            return;
        }
        let orphan = head.parent.is_some_and(|parent| {
            let core = self.core.execution(parent.execution);
            !core.is_some_and(|core| core.is_running(parent.task))
        });
        if orphan {
            let _ = reply.send(Err(Error::cancelled("start execution", PARENT_ENDED).into()));
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
            Err(error) => drop(reply.send(Err(error.into()))),
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
                let _ = self.apply(id, EngineEvent::Adopted { at });
                if let Some(error) = abort {
                    self.event(id, EventKind::Aborted(error));
                }
                self.hand_out_again(id);
                self.look_for_parent(id);
                self.look_for_letters(id);
                let waiting = reply.map(Waiting::Told);
                self.waiting.entry(id).or_default().extend(waiting);
            }
            Err(error) => {
                tracing::error!(execution = %id, %error, "an execution cannot go on");
                reply.map(|reply| reply.send(Err(error.into())));
            }
        }
    }

    /// Cancels an execution whose parent ended while nobody could tell it.
    fn look_for_parent(&mut self, id: ExecutionId) {
        let head = self.core.execution(id).map(|core| core.head());
        let Some(parent) = head.and_then(|head| head.parent) else {
            return;
        };
        let executions = self.store.clone();
        let look = async move {
            match executions.head(parent.execution).await {
                Ok(head) if !head.status().is_ended() => Vec::new(),
                Ok(_) => vec![Message::cancel(id, PARENT_ENDED)],
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    vec![Message::cancel(id, PARENT_ENDED)]
                }
                Err(error) => {
                    tracing::warn!(execution = %id, %error, "its parent was not looked for");
                    Vec::new()
                }
            }
        };
        self.chores.push(look.boxed());
    }

    fn redrive(
        &mut self,
        stored: StoredExecution,
        program: Arc<dyn Program>,
        reply: Reply<ExecutionHead>,
    ) {
        let id = stored.head.id;
        if self.core.execution(id).is_some() || self.away.contains_key(&id) {
            let error = Error::conflict("redrive execution", "it has just changed");
            let _ = reply.send(Err(error.into()));
            return;
        }
        let core = match ExecutionCore::restore(stored, program) {
            Ok(core) => core,
            Err(error) => return drop(reply.send(Err(error.into()))),
        };
        self.core.insert(core, self.clock.now());
        self.opened(id);
        let at = self.clock.wall();
        let kind = EventKind::Redriven;
        let entropy = self.core.entropy();
        let event = EngineEvent::Program(ProgramEvent { at, entropy, kind });
        let applied = self.core.apply(id, event, self.clock.now());
        let open = self.core.execution(id).filter(|_| applied.is_ok());
        if open.is_some_and(|core| core.head().ending.is_none() && core.waits()) {
            let waiting = self.waiting.entry(id).or_default();
            return waiting.push(Waiting::Started(reply));
        }
        // Nothing of it was stored, so nothing has happened.
        self.forget(id);
        let message = "its program cannot go on from where it stopped";
        let error = Error::unsupported("redrive execution", message);
        let _ = reply.send(Err(error.into()));
    }

    pub(super) fn told(&mut self, id: ExecutionId, kind: EventKind, reply: Reply<()>) {
        let open = self.core.execution(id);
        // What ended in this very turn takes nothing more, though its end is not stored yet.
        let ending = open.and_then(|core| core.head().ending.as_ref());
        let next = match (ending, self.away.get(&id)) {
            (Some(Ending::Continued(next)), _) | (None, Some(Away::Continuing(next))) => {
                Some(*next)
            }
            _ => None,
        };
        if let Some(next) = next {
            return self.told(next, kind, reply);
        }
        if open.is_none() || ending.is_some() {
            let refusal = match (ending, self.away.get(&id)) {
                (None, None) => Refusal::NotHere,
                (None, Some(Away::Loading)) => tokens::loading().into(),
                _ => {
                    let ended = Error::conflict("signal execution", "it has just ended");
                    ended.with_retry(faas_core::Retry::Never).into()
                }
            };
            let _ = reply.send(Err(refusal));
            return;
        }
        self.event_for(id, kind, Waiting::Told(reply));
    }
}
