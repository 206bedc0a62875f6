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
            progress,
            cold,
        }) = end
        else {
            return; // It was aborted: nobody wants its answer.
        };
        self.aborts.remove(&(execution, task));
        let open = self.core.execution(execution);
        let Some(core) = open.filter(|core| core.is_running(task)) else {
            return;
        };
        match progress {
            Progress::Ended(result) => {
                let workflow = core.head().workflow.name.to_string();
                let outcome = if result.is_ok() { "success" } else { "failure" };
                let name = faas_core::telemetry::TASKS;
                metrics::counter!(name, "workflow" => workflow, "outcome" => outcome).increment(1);
                if let Some(cold) = cold {
                    self.core.cold(execution, task, cold);
                }
                self.child_of(execution, task);
                self.event(execution, EventKind::TaskEnded { task, result });
            }
            Progress::Submitted(output, rest) => {
                self.event(execution, EventKind::TaskSubmitted { task, output });
                if let Some(rest) = rest {
                    let ended = rest.map(Progress::Ended).map(|progress| (progress, None));
                    self.spawn(execution, task, ended.boxed());
                }
            }
        }
    }

    pub(super) fn abort(&mut self, id: ExecutionId, task: TaskNumber) {
        if let Some(handle) = self.aborts.remove(&(id, task)) {
            handle.abort();
        }
    }

    /// Nobody wants the task's answer any more: what runs for it is stopped.
    pub(super) fn stop_task(&mut self, id: ExecutionId, task: TaskNumber) {
        self.abort(id, task);
        let Some((namespace, name)) = self.child_of(id, task) else {
            return;
        };
        let executions = self.store.clone();
        let cancel = async move {
            let found = executions.find(&namespace, &name).await;
            match found {
                Ok(found) => {
                    let cancel = |child| Message::cancel(child, PARENT_ENDED);
                    found.map(cancel).into_iter().collect()
                }
                Err(error) => {
                    tracing::warn!(%name, %error, "a child was not found to be cancelled");
                    Vec::new()
                }
            }
        };
        self.chores.push(cancel.boxed());
    }

    /// The execution that runs for that task, no longer remembered.
    fn child_of(&self, id: ExecutionId, task: TaskNumber) -> Option<(Namespace, ExecutionName)> {
        self.shared.upgrade()?.children().remove(&(id, task))
    }

    /// Calls a task whose start is stored, unless it is no longer wanted.
    pub(super) fn launch(&mut self, launch: Launch) {
        let (id, task) = (launch.execution, launch.request.task);
        let open = self.core.execution(id);
        let Some(head) = open.filter(|core| core.is_running(task)).map(|c| c.head()) else {
            return;
        };
        let namespace = head.workflow.namespace.clone();
        let depth = head.parent.map_or(0, |parent| parent.depth) + 1;
        let parent = Parent {
            execution: id,
            task,
            depth,
        };
        match &launch.request.target {
            TaskTarget::Function(function) => {
                let function = function.clone();
                self.launch_function(launch, function);
            }
            TaskTarget::Resource { completion, name } => match completion {
                Completion::Worker => {
                    let pool = (namespace, name.clone());
                    self.explain(&launch, None);
                    self.offer(pool, id, task);
                }
                _ => self.launch_resource(launch, namespace, parent),
            },
            TaskTarget::Workflow(child) => {
                let (child, input) = (child.clone(), launch.request.input.clone());
                self.explain(&launch, None);
                let child = Child::new(child, input, parent, &launch.request.key);
                self.launch_child(parent, child);
            }
        }
    }

    /// Records why a task runs now.
    fn explain(&self, launch: &Launch, invocation: Option<InvocationId>) {
        let mut subjects = vec![launch.execution.into(), launch.id.into()];
        subjects.extend(invocation.map(Subject::from));
        let reasons = match launch.reasons.is_empty() {
            true => vec![RESUMED],
            false => launch.reasons.clone(),
        };
        self.decisions
            .record(DecisionClass::Task, subjects, None, reasons);
    }

    fn fails(&mut self, id: ExecutionId, task: TaskNumber, error: TaskError) {
        let result = Err(error);
        self.event(id, EventKind::TaskEnded { task, result });
    }

    fn deadline(&self, request: &TaskRequest) -> Option<Monotonic> {
        // Of what others end, the deadline is the core's: it lasts longer than a call.
        let own = request.completion() == Completion::Response;
        let timeout = request.timeout.filter(|_| own)?;
        Some(self.clock.now() + timeout)
    }

    fn launch_function(&mut self, launch: Launch, function: FunctionRef) {
        let invocation_id: InvocationId = self.ids.next();
        self.explain(&launch, Some(invocation_id));
        let (id, request) = (launch.execution, launch.request);
        let payload = match Payload::json(&*request.input) {
            Ok(payload) => payload,
            Err(error) => return self.fails(id, request.task, (&error).into()),
        };
        let mut invocation = Invocation::new(invocation_id, function, payload);
        invocation.deadline = self.deadline(&request);
        invocation.idempotency_key = Some(key(id, &request));
        invocation.caller.identity = Some(format!("execution/{id}").into());
        let (invoker, clock) = (self.invoker.clone(), self.clock.clone());
        let limit = self.options.response_bytes;
        let called_back = request.completion() == Completion::Callback;
        let work = async move {
            let called = call::call(invoker, clock, invocation, limit).await;
            let progress = match called.result {
                Ok(receipt) if called_back => Progress::Submitted(receipt, None),
                result => Progress::Ended(result),
            };
            (progress, called.cold)
        };
        self.spawn(id, request.task, work.boxed());
    }

    fn launch_resource(&mut self, launch: Launch, namespace: Namespace, parent: Parent) {
        self.explain(&launch, None);
        let (id, request) = (launch.execution, launch.request);
        let task = request.task;
        let (completion, deadline) = (request.completion(), self.deadline(&request));
        let idempotency_key = key(id, &request);
        let TaskTarget::Resource { name, .. } = request.target else {
            return;
        };
        let Some(resources) = self.resources.clone() else {
            let message = format!("this engine has no resources, and {name} is one");
            let error = TaskError::new("Platform.Unsupported", message);
            return self.fails(id, task, error.with_retry(TaskRetry::Never));
        };
        let call = ResourceCall {
            namespace,
            execution: id,
            resource: name,
            completion,
            input: request.input,
            token: request.token,
            idempotency_key,
            deadline,
        };
        let (clock, shared, limit) = (self.clock.clone(), self.shared.clone(), self.options.depth);
        let work = async move {
            let answer = match resources.call(call).await {
                Ok(answer) => answer,
                Err(error) => return Progress::Ended(Err(error)),
            };
            match (answer, completion) {
                (ResourceAnswer::Output(output), Completion::Callback) => {
                    Progress::Submitted(output, None)
                }
                (ResourceAnswer::Output(output), _) => Progress::Ended(Ok(output)),
                (ResourceAnswer::Job(receipt, end), Completion::Job) => {
                    Progress::Submitted(receipt, Some(end))
                }
                (ResourceAnswer::Job(_, end), _) => Progress::Ended(end.await),
                (ResourceAnswer::Child(child, input), _) => {
                    let child = Child::new(child, input, parent, &request.key);
                    let child = child.map(|child| Child {
                        completion,
                        ..child
                    });
                    run_child(shared, child, parent, limit).await
                }
                (ResourceAnswer::ChildAs(child, input, form), _) => {
                    let child = Child::new(child, input, parent, &request.key);
                    let child = child.map(|child| Child {
                        completion,
                        form,
                        ..child
                    });
                    run_child(shared, child, parent, limit).await
                }
            }
        };
        let timed = async move {
            let progress = call::within(&*clock, deadline, work.boxed()).await;
            (
                progress.unwrap_or_else(|late| Progress::Ended(Err(late))),
                None,
            )
        };
        self.spawn(id, task, timed.boxed());
    }

    fn launch_child(&mut self, parent: Parent, child: Result<Child>) {
        let (id, task) = (parent.execution, parent.task);
        let work = run_child(self.shared.clone(), child, parent, self.options.depth);
        self.spawn(id, task, work.map(|progress| (progress, None)).boxed());
    }

    fn spawn(&mut self, execution: ExecutionId, task: TaskNumber, work: BoxFuture<'static, Work>) {
        let handle = self.calls.spawn(async move {
            // A panic is the defect of whoever was called; the task must end all the same.
            let caught = std::panic::AssertUnwindSafe(work).catch_unwind().await;
            let (progress, cold) = caught.unwrap_or_else(|_| {
                let error = TaskError::new("Platform.Internal", "whoever runs the task panicked");
                (Progress::Ended(Err(error)), None)
            });
            CallEnd {
                execution,
                task,
                progress,
                cold,
            }
        });
        self.aborts.insert((execution, task), handle);
    }
}

fn key(id: ExecutionId, request: &TaskRequest) -> Arc<str> {
    format!("{id}/{}", request.key).into()
}

async fn run_child(
    shared: Weak<Shared>,
    child: Result<Child>,
    parent: Parent,
    limit: u32,
) -> Progress {
    let child = match child {
        Ok(_) if parent.depth > limit => {
            let message = format!("executions nest deeper than {limit}");
            let error = TaskError::new("Platform.LimitExceeded", message);
            return Progress::Ended(Err(error.with_retry(TaskRetry::Never)));
        }
        Ok(child) => child,
        Err(error) => return Progress::Ended(Err(TaskError::from(&error))),
    };
    let Some(shared) = shared.upgrade() else {
        return Progress::Ended(Err(TaskError::from(&closed())));
    };
    if child.parent.is_some() {
        let namespace = child.request.workflow.namespace.clone();
        let named = (namespace, child.request.name.clone());
        shared
            .children()
            .insert((parent.execution, parent.task), named);
    }
    child.run(shared).await
}
