//! The calls of tasks.

use super::*;

const RESUMED: Reason = Reason::new(
    "task.resumed",
    "it ran when its engine stopped, and has no recorded result: called again with the same key",
);

impl Live {
    pub(super) fn call_end(&mut self, end: Result<CallEnd, tokio::task::JoinError>) {
        let Ok(CallEnd {
            execution,
            task,
            result,
        }) = end
        else {
            return; // It was aborted: nobody wants its answer.
        };
        self.aborts.remove(&(execution, task));
        let open = self.core.execution(execution);
        if let Some(core) = open.filter(|core| core.is_running(task)) {
            let workflow = core.head().workflow.name.to_string();
            let outcome = if result.is_ok() { "success" } else { "failure" };
            let name = faas_core::telemetry::TASKS;
            metrics::counter!(name, "workflow" => workflow, "outcome" => outcome).increment(1);
            self.event(execution, EventKind::TaskEnded { task, result });
        }
    }

    pub(super) fn abort(&mut self, id: ExecutionId, task: TaskNumber) {
        if let Some(handle) = self.aborts.remove(&(id, task)) {
            handle.abort();
        }
    }

    /// Calls a task whose start is stored, unless it is no longer wanted.
    pub(super) fn launch(&mut self, launch: Launch) {
        let (id, task) = (launch.execution, launch.request.task);
        let open = self.core.execution(id);
        if !open.is_some_and(|core| core.is_running(task)) {
            return;
        }
        let invocation_id: InvocationId = self.ids.next();
        let subjects = vec![id.into(), launch.id.into(), invocation_id.into()];
        let reasons = match launch.reasons.is_empty() {
            true => vec![RESUMED],
            false => launch.reasons,
        };
        self.decisions
            .record(DecisionClass::Task, subjects, None, reasons);
        let TaskTarget::Function(function) = launch.request.target else {
            return self.unsupported(id, task);
        };
        let payload = match Payload::json(&*launch.request.input) {
            Ok(payload) => payload,
            Err(error) => {
                return self.event(
                    id,
                    EventKind::TaskEnded {
                        task,
                        result: Err((&error).into()),
                    },
                );
            }
        };
        let mut invocation = Invocation::new(invocation_id, function, payload);
        invocation.deadline = launch
            .request
            .timeout
            .map(|timeout| self.clock.now() + timeout);
        invocation.idempotency_key = Some(format!("{id}/{}", launch.request.key).into());
        invocation.caller.identity = Some(format!("execution/{id}").into());
        let (invoker, clock) = (self.invoker.clone(), self.clock.clone());
        let limit = self.options.response_bytes;
        let handle = self.calls.spawn(async move {
            let called = call::call(invoker, clock, invocation, limit);
            // A panic is the invoker's defect; the task must end all the same.
            let caught = std::panic::AssertUnwindSafe(called).catch_unwind().await;
            let panicked = |_| Err(TaskError::new("Platform.Internal", "the invoker panicked"));
            let result = caught.unwrap_or_else(panicked);
            CallEnd {
                execution: id,
                task,
                result,
            }
        });
        self.aborts.insert((id, task), handle);
    }

    fn unsupported(&mut self, id: ExecutionId, task: TaskNumber) {
        let error = TaskError::new("Platform.Unsupported", "the engine runs functions alone");
        let result = Err(error.with_retry(TaskRetry::Never));
        self.event(id, EventKind::TaskEnded { task, result });
    }
}
