//! Task states: what is asked of the world, and what comes of it.

use serde_json::{Value, json};

use super::failure::{Failure, Trouble};
use super::frame::{Active, Frame, FrameId, Job, Position, TaskJob};
use super::records::{Details, details, text};
use super::recovery::Broken;
use super::resource::failure_of;
use super::states::unexpected;
use super::turn::After;
use super::{Alarm, Turn};
use crate::asl::model::{Amount, Kind, Resource, ResourceKind, State, Task};
use crate::asl::settings::seconds;
use crate::asl::template::Query;
use crate::asl::value;
use crate::program::{
    Completion, Data, TaskError, TaskNumber, TaskRequest, TaskRetry, TaskToken, TimerNumber,
};

impl Turn<'_> {
    pub(super) fn start_task(
        &mut self,
        frame: &mut Frame,
        active: &mut Active,
        state: &State,
        task: &Task,
        input: Data,
    ) -> Result<After, Trouble> {
        let timeout = self.task_seconds(frame, active, &input, task.timeout.as_ref())?;
        let heartbeat = self.task_seconds(frame, active, &input, task.heartbeat.as_ref())?;
        let number = TaskNumber(self.number());
        let completion = task.resource.completion();
        let token = (completion != Completion::Response)
            .then(|| TaskToken::new(self.run.execution.id, number, self.entropy));
        let mut evaluator = self.evaluator(frame, active, &input);
        evaluator.context.token = token.as_ref();
        let credentials = match &task.credentials {
            Some(template) => Some(evaluator.template(template)?),
            None => None,
        };
        let arguments = match &state.flow.arguments {
            Some(template) => evaluator.data(template)?,
            None => input.clone(),
        };
        self.check_size(&arguments, &state.name)?;
        let bounds = (timeout, heartbeat);
        self.record_scheduled(
            frame,
            &task.resource,
            &arguments,
            bounds,
            credentials.as_ref(),
        );
        let namespace = &self.run.execution.workflow.namespace;
        let target = task.resource.target(namespace);
        let mut request = TaskRequest::of(number, &*state.name, target, arguments);
        request.key = frame.key(active.call);
        request.timeout = timeout.map(seconds);
        request.token = token;
        let id = frame.id;
        active.job = Job::Task(TaskJob {
            number,
            timeout: timeout.map(|t| self.set_timer(seconds(t), Alarm::Timeout(id))),
            heartbeat: heartbeat.map(|h| (self.set_timer(seconds(h), Alarm::Heartbeat(id)), h)),
        });
        self.run_task(id, request);
        Ok(After::Blocked)
    }

    fn task_seconds(
        &mut self,
        frame: &Frame,
        active: &Active,
        input: &Data,
        amount: Option<&Amount>,
    ) -> Result<Option<u64>, Trouble> {
        let place = match amount {
            None => return Ok(None),
            Some(Amount::Literal(count)) => return Ok(Some(*count)),
            Some(Amount::Computed(place)) => place,
        };
        let value = self.evaluator(frame, active, input).bound(place)?;
        let count = value::round(&value).and_then(|n| u64::try_from(n).ok());
        let count = count.filter(|count| *count > 0).ok_or_else(|| {
            if let Query::Expression { .. } = &place.query {
                return unexpected(place, "positive integer", &value);
            }
            let (field, path) = (&place.field, place.text());
            Trouble::runtime(format!(
                "The {field} field refers to value \"{value}\" which is not a positive integer: {path}"
            ))
        })?;
        Ok(Some(count))
    }

    /// `LambdaFunctionScheduled`, `ActivityScheduled`, `TaskScheduled`, and that it started.
    fn record_scheduled(
        &mut self,
        frame: &mut Frame,
        resource: &Resource,
        arguments: &Value,
        (timeout, heartbeat): (Option<u64>, Option<u64>),
        credentials: Option<&Value>,
    ) {
        let prefix = resource.prefix();
        let mut scheduled = Details::new();
        if Self::is_seen(frame) {
            scheduled = self.scheduled(resource, arguments);
            if let Some(timeout) = timeout {
                scheduled.insert("timeoutInSeconds".into(), timeout.into());
            }
            if let Some(heartbeat) = heartbeat {
                scheduled.insert("heartbeatInSeconds".into(), heartbeat.into());
            }
            if let Some(role) = credentials.and_then(|c| c.get("RoleArn")) {
                scheduled.insert("taskCredentials".into(), json!({ "roleArn": role }));
            }
        }
        self.record(frame, &format!("{prefix}Scheduled"), scheduled);
        if resource.kind != ResourceKind::Activity {
            self.record(frame, &format!("{prefix}Started"), resource.details());
        }
    }

    fn scheduled(&self, resource: &Resource, arguments: &Value) -> Details {
        let mut scheduled = resource.details();
        if scheduled.is_empty() {
            return details(json!({ "input": text(arguments), "resource": resource.arn }));
        }
        scheduled.insert(
            "region".into(),
            self.machine.settings.region.as_str().into(),
        );
        scheduled.insert("parameters".into(), text(arguments));
        scheduled
    }

    /// A frame whose state is a task, taken out, with the task.
    fn task_frame(&mut self, task: TaskNumber) -> Option<(Frame, Box<Active>)> {
        let id = *self.run.tasks.get(&task)?;
        let mut frame = self.run.frames.remove(&id)?;
        let own = frame
            .active()
            .is_some_and(|active| matches!(&active.job, Job::Task(job) if job.number == task));
        if !own {
            self.run.frames.insert(id, frame);
            return None;
        }
        let nothing = Position::Before(self.machine.start, Data::default());
        match std::mem::replace(&mut frame.position, nothing) {
            Position::In(active) => Some((frame, active)),
            Position::Before(..) => None,
        }
    }

    /// Puts a frame back that still waits for its task.
    fn still_waits(&mut self, mut frame: Frame, active: Box<Active>) {
        frame.position = Position::In(active);
        self.settle(frame, After::Blocked);
    }

    fn resource(&self, active: &Active) -> Option<&Resource> {
        match &self.machine.states.get(active.state.0)?.kind {
            Kind::Task(task) => Some(&task.resource),
            _ => None,
        }
    }

    pub(super) fn task_started(&mut self, task: TaskNumber, worker: Option<String>) {
        let Some((mut frame, mut active)) = self.task_frame(task) else {
            return;
        };
        if self
            .resource(&active)
            .is_some_and(|r| r.kind == ResourceKind::Activity)
        {
            let worker = worker.map(|name| ("workerName".to_owned(), name.into()));
            self.record(&mut frame, "ActivityStarted", worker.into_iter().collect());
        }
        self.restart_heartbeat(frame.id, &mut active);
        self.still_waits(frame, active);
    }

    pub(super) fn task_submitted(&mut self, task: TaskNumber, output: &Value) {
        let Some((mut frame, active)) = self.task_frame(task) else {
            return;
        };
        let mut submitted = self
            .resource(&active)
            .map(Resource::details)
            .unwrap_or_default();
        submitted.insert("output".into(), text(output));
        self.record(&mut frame, "TaskSubmitted", submitted);
        self.still_waits(frame, active);
    }

    pub(super) fn task_heartbeat(&mut self, task: TaskNumber) {
        if let Some((frame, mut active)) = self.task_frame(task) {
            self.restart_heartbeat(frame.id, &mut active);
            self.still_waits(frame, active);
        }
    }

    fn restart_heartbeat(&mut self, frame: FrameId, active: &mut Active) {
        if let Job::Task(job) = &mut active.job
            && let Some((timer, count)) = job.heartbeat
        {
            self.clear_timer(timer);
            let timer = self.set_timer(seconds(count), Alarm::Heartbeat(frame));
            job.heartbeat = Some((timer, count));
        }
    }

    pub(super) fn task_ended(&mut self, task: TaskNumber, result: Result<Data, TaskError>) {
        let Some((mut frame, mut active)) = self.task_frame(task) else {
            return self.map_task_ended(task, result);
        };
        self.run.tasks.remove(&task);
        self.clear_task_timers(&active);
        let state = self.machine.state(active.state);
        let Kind::Task(definition) = &state.kind else {
            return;
        };
        let resource = &definition.resource;
        let limited = result.map(|output| (self.check_size(&output, resource.service()), output));
        let after = match limited {
            Ok((Ok(()), output)) => {
                self.record_succeeded(&mut frame, resource, &output);
                match self.exit(&mut frame, &mut active, state, output) {
                    Ok(after) => self.keep(&mut frame, active, after),
                    Err(trouble) => self.own_failed(&mut frame, active, trouble, Broken::Itself),
                }
            }
            Ok((Err(trouble), _)) => {
                let failure = Failure::new(trouble.error, trouble.detail);
                self.task_failed(&mut frame, active, resource, failure)
            }
            Err(error) => {
                if error.retry == TaskRetry::Program {
                    // It answered; an attempt under the same key might be given that answer again.
                    active.call += 1;
                }
                let failure = failure_of(error, resource);
                self.task_failed(&mut frame, active, resource, failure)
            }
        };
        self.settle(frame, after);
    }

    fn record_succeeded(&mut self, frame: &mut Frame, resource: &Resource, output: &Value) {
        let mut succeeded = Details::new();
        if Self::is_seen(frame) {
            succeeded = resource.details();
            succeeded.insert("output".into(), text(output));
        }
        self.record(frame, &format!("{}Succeeded", resource.prefix()), succeeded);
    }

    fn task_failed(
        &mut self,
        frame: &mut Frame,
        active: Box<Active>,
        resource: &Resource,
        failure: Failure,
    ) -> After {
        let timed_out = failure.error.as_deref() == Some(super::failure::TIMEOUT);
        let ending = if timed_out { "TimedOut" } else { "Failed" };
        let mut failed = resource.details();
        failed.extend(failure.details());
        self.record(frame, &format!("{}{ending}", resource.prefix()), failed);
        self.state_failed(frame, active, failure, Broken::Itself)
    }

    fn clear_task_timers(&mut self, active: &Active) {
        if let Job::Task(job) = &active.job {
            let heartbeat = job.heartbeat.map(|(timer, _)| timer);
            let timers = job.timeout.into_iter().chain(heartbeat);
            timers.for_each(|timer| self.clear_timer(timer));
        }
    }

    pub(super) fn task_timed_out(&mut self, frame: FrameId, timer: TimerNumber, heartbeat: bool) {
        let task = self.run.frames.get(&frame).and_then(Frame::active);
        let task = task.and_then(|active| match &active.job {
            Job::Task(job) if heartbeat => (job.heartbeat?.0 == timer).then_some(job.number),
            Job::Task(job) => (job.timeout? == timer).then_some(job.number),
            _ => None,
        });
        let Some((mut frame, active)) = task.and_then(|task| self.task_frame(task)) else {
            return;
        };
        self.clear_task_timers(&active);
        if let Some(task) = task {
            self.cancel_task(task);
        }
        let state = self.machine.state(active.state);
        if let Kind::Task(definition) = &state.kind {
            let failure = Failure::timeout(heartbeat);
            let after = self.task_failed(&mut frame, active, &definition.resource, failure);
            self.settle(frame, after);
        }
    }
}
