//! What comes from outside about a task, by its token; and questions.

use super::*;

fn unknown() -> Error {
    let message = "no task waits for this token: it has ended, timed out, or never was";
    Error::not_found("complete task", message)
}

impl Live {
    /// Whether the token is that of a task that runs here.
    fn knows(&self, token: &TaskToken) -> bool {
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
        self.event(id, EventKind::TaskEnded { task, result });
        self.waiting
            .entry(id)
            .or_default()
            .push(Waiting::Told(reply));
    }

    pub(super) fn heartbeat(&mut self, token: &TaskToken, reply: Reply<()>) {
        let (id, task) = (token.execution, token.task);
        if !self.knows(token) {
            let _ = reply.send(Err(self.missing(id, unknown())));
            return;
        }
        self.event(id, EventKind::TaskHeartbeat { task });
        self.waiting
            .entry(id)
            .or_default()
            .push(Waiting::Told(reply));
    }

    /// Another engine may know what this one does not: `otherwise` is for what is open here.
    fn missing(&self, id: ExecutionId, otherwise: Error) -> Refusal {
        match self.core.execution(id).is_some() || self.away.contains(&id) {
            true => otherwise.into(),
            false => Refusal::NotHere,
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
}
