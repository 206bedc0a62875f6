//! What comes from outside about a task, by its token; and questions.

use super::*;

pub(super) fn unknown() -> Error {
    let message = "no task waits for this token: it has ended, timed out, or never was";
    Error::not_found("complete task", message)
}

/// That an execution is between two memories.
pub(super) fn loading() -> Error {
    Error::unavailable("ask execution", "it is being loaded again")
}

impl Live {
    /// Whether the token is that of a task that runs here.
    pub(super) fn knows(&self, token: &TaskToken) -> bool {
        let core = self.core.execution(token.execution);
        let running = core.and_then(|core| core.running_task(token.task));
        running.is_some_and(|running| running.request.token.as_ref() == Some(token))
    }

    pub(super) fn complete(
        &mut self,
        token: &TaskToken,
        result: Result<Data, TaskError>,
        reply: Reply<()>,
    ) {
        let (id, task) = (token.execution, token.task);
        if !self.knows(token) {
            let _ = reply.send(Err(self.missing(id, unknown())));
            return;
        }
        let ended = EventKind::TaskEnded { task, result };
        self.event_for(id, ended, Waiting::Told(reply));
    }

    pub(super) fn heartbeat(&mut self, token: &TaskToken, reply: Reply<()>) {
        let (id, task) = (token.execution, token.task);
        if !self.knows(token) {
            let _ = reply.send(Err(self.missing(id, unknown())));
            return;
        }
        let beat = EventKind::TaskHeartbeat { task };
        self.event_for(id, beat, Waiting::Told(reply));
    }

    /// Another engine may know what this one does not: `otherwise` is for what is open here.
    fn missing(&self, id: ExecutionId, otherwise: Error) -> Refusal {
        match (self.core.execution(id).is_some(), self.away.get(&id)) {
            (true, _) | (_, Some(Away::Ending | Away::Continuing(_))) => otherwise.into(),
            (_, Some(Away::Loading)) => loading().into(),
            (false, None) => Refusal::NotHere,
        }
    }

    pub(super) fn query(&mut self, id: ExecutionId, query: &Query, reply: Reply<Data>) {
        let Some(core) = self.core.execution(id) else {
            let _ = reply.send(Err(Refusal::NotHere));
            return;
        };
        match core.answer(query) {
            Err(error) => drop(reply.send(Err(error.into()))),
            // Nobody sees what could still be lost.
            Ok(answer) if self.core.is_dirty(id) => {
                let waiting = self.waiting.entry(id).or_default();
                waiting.push(Waiting::Asked(reply, answer));
            }
            Ok(answer) => match self.under_way.get_mut(&id) {
                Some(appends) => appends.waiting.push(Waiting::Asked(reply, answer)),
                None => drop(reply.send(Ok(answer))),
            },
        }
    }

    /// Answers when more than the transition `after` is stored.
    pub(super) fn follow(
        &mut self,
        id: ExecutionId,
        after: TransitionNumber,
        reply: Reply<ExecutionHead>,
    ) {
        if self.core.execution(id).is_none() && !self.away.contains_key(&id) {
            let _ = reply.send(Err(Refusal::NotHere));
            return;
        }
        let followers = self.followers.entry(id).or_default();
        followers.retain(|(_, reply)| !reply.is_closed());
        followers.push((after, reply));
        if let Some(head) = self.stored_head(id) {
            self.tell_followers(&head);
        }
    }

    /// The head in memory, if all of it is stored.
    fn stored_head(&self, id: ExecutionId) -> Option<ExecutionHead> {
        let idle = !self.core.is_dirty(id) && !self.under_way.contains_key(&id);
        let core = self.core.execution(id).filter(|_| idle)?;
        Some(core.head().clone())
    }

    /// This much is stored.
    pub(super) fn tell_followers(&mut self, head: &ExecutionHead) {
        let Some(followers) = self.followers.get_mut(&head.id) else {
            return;
        };
        let told = |one: &mut (TransitionNumber, _)| one.0 < head.transition;
        for (_, reply) in followers.extract_if(.., told) {
            let _ = reply.send(Ok(head.clone()));
        }
        if followers.is_empty() {
            self.followers.remove(&head.id);
        }
    }
}
