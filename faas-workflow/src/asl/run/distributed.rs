//! Runs of distributed Maps: what they read first, what they tolerate, what they write last.

use std::sync::Arc;

use serde_json::{Value, json};

use super::evaluate::Evaluator;
use super::failure::{Failure, ITEM_READER, THRESHOLD, Trouble};
use super::frame::{Active, Frame, Job, MapJob, MapRun, Position};
use super::records::{Details, details};
use super::recovery::Broken;
use super::resource::failure_of;
use super::turn::After;
use super::{Turn, reader};
use crate::asl::intrinsic::uuid;
use crate::asl::model::{Amount, Batcher, Kind, Map, Reader, Resource};
use crate::asl::value::{round, size};
use crate::program::{Data, TaskError, TaskNumber, TaskRequest};

impl Turn<'_> {
    pub(super) fn start_run(
        &mut self,
        frame: &mut Frame,
        active: &mut Active,
        map: &Map,
        mut job: MapJob,
    ) -> Result<After, Trouble> {
        let state = self.machine.state(active.state);
        let mut evaluator = self.evaluator(frame, active, &job.input);
        let tolerated_count = match evaluator.count(&map.tolerated_count)? {
            None => None,
            Some(count) => Some(
                u64::try_from(count)
                    .map_err(|_| Trouble::runtime("ToleratedFailureCount cannot be negative."))?,
            ),
        };
        let tolerated_percentage = evaluator.fraction(&map.tolerated_percentage)?;
        if tolerated_percentage.is_some_and(|p| !(0.0..=100.0).contains(&p)) {
            let detail = "ToleratedFailurePercentage must be between 0 and 100.";
            return Err(Trouble::runtime(detail));
        }
        let id = uuid(&mut self.random);
        let machine = self.run.execution.workflow.name.as_str();
        let arn = self.machine.settings.map_run_arn(machine, &map.label, &id);
        self.record(frame, "MapRunStarted", details(json!({ "mapRunArn": arn })));
        job.run = Some(MapRun {
            arn,
            started_event: frame.last,
            tolerated_count,
            tolerated_percentage,
            redrives: 0,
            task: None,
            unwritten: Vec::new(),
            output: None,
        });
        if let Some(reader) = &map.reader {
            return self.read(frame, active, reader, job);
        }
        self.batch(frame, active, map, &mut job)?;
        self.iterate(frame, active, state, map, job)
    }

    /// Asks for what the items are read from.
    fn read(
        &mut self,
        frame: &mut Frame,
        active: &mut Active,
        reader: &Reader,
        mut job: MapJob,
    ) -> Result<After, Trouble> {
        let mut evaluator = self.evaluator(frame, active, &job.input);
        let arguments = match &reader.arguments {
            Some(template) => evaluator.data(template)?,
            None => Data::default(),
        };
        let number = self.ask(frame, active, &reader.resource, "read", arguments);
        if let Some(run) = &mut job.run {
            run.task = Some(number);
        }
        active.job = Job::Map(Box::new(job));
        Ok(After::Blocked)
    }

    /// Asks a resource something for a run; nothing of it is seen in the history.
    pub(super) fn ask(
        &mut self,
        frame: &Frame,
        active: &Active,
        resource: &Resource,
        purpose: &str,
        arguments: Data,
    ) -> TaskNumber {
        let number = TaskNumber(self.number());
        let name = self.machine.state(active.state).name.clone();
        let target = resource.target(&self.run.execution.workflow.namespace);
        let mut request = TaskRequest::of(number, &*name, target, arguments);
        request.key = format!("{}:{purpose}", frame.key(active.retry_count));
        self.run_task(frame.id, request);
        number
    }

    /// What a run asked for has come.
    pub(super) fn map_task_ended(&mut self, task: TaskNumber, result: Result<Data, TaskError>) {
        let id = self.run.tasks.remove(&task);
        let Some(mut frame) = id.and_then(|id| self.run.frames.remove(&id)) else {
            return;
        };
        let nothing = Position::Before(self.machine.start, Data::default());
        let Position::In(mut active) = std::mem::replace(&mut frame.position, nothing) else {
            return;
        };
        let state = self.machine.state(active.state);
        let job = std::mem::replace(&mut active.job, Job::Attempt);
        let (Kind::Map(map), Job::Map(mut job)) = (&state.kind, job) else {
            return;
        };
        let writes = job.run.as_mut().is_some_and(|run| {
            run.task = None;
            run.output.is_some()
        });
        let after = match writes {
            true => self.written(&mut frame, active, map, *job, result),
            false => self.have_read(&mut frame, active, map, *job, result),
        };
        self.settle(frame, after);
    }

    fn have_read(
        &mut self,
        frame: &mut Frame,
        mut active: Box<Active>,
        map: &Map,
        mut job: MapJob,
        result: Result<Data, TaskError>,
    ) -> After {
        let state = self.machine.state(active.state);
        let Some(reader) = &map.reader else {
            return After::Blocked;
        };
        let items = match result {
            Ok(answer) => self.read_items(frame, &active, reader, &job.input, &answer),
            Err(error) => {
                let cause = failure_of(error, &reader.resource).cause;
                Err(Failure::new(ITEM_READER, cause.unwrap_or_default()))
            }
        };
        match items {
            Ok(items) => job.items = Arc::new(Value::Array(items)),
            Err(failure) => return self.run_failed(frame, active, Box::new(job), failure),
        }
        let iterated = self
            .batch(frame, &active, map, &mut job)
            .and_then(|()| self.iterate(frame, &mut active, state, map, job));
        match iterated {
            Ok(after) => self.keep(frame, active, after),
            Err(trouble) => self.own_failed(frame, active, trouble, Broken::Children(None)),
        }
    }

    /// A Map without items is over at once.
    pub(super) fn nothing_to_do(&mut self, frame: &mut Frame, mut active: Box<Active>) -> After {
        match std::mem::replace(&mut active.job, Job::Attempt) {
            Job::Map(job) => {
                let previous = frame.last;
                self.next_iteration(frame, active, job, previous)
            }
            job => {
                active.job = job;
                self.keep(frame, active, After::Blocked)
            }
        }
    }

    fn read_items(
        &mut self,
        frame: &Frame,
        active: &Active,
        reader: &Reader,
        input: &Data,
        answer: &Value,
    ) -> Result<Vec<Value>, Failure> {
        let limits = self.machine.settings.limits;
        let mut evaluator = self.evaluator(frame, active, input);
        let most = match evaluator.count(&reader.max_items) {
            Ok(Some(most)) if most < 0 => {
                return Err(Failure::new(ITEM_READER, "field MaxItems must be positive"));
            }
            Ok(Some(0) | None) => usize::MAX,
            Ok(Some(most)) => usize::try_from(most).unwrap_or(usize::MAX),
            Err(trouble) => return Err(Failure::new(ITEM_READER, trouble.detail)),
        };
        let bytes = size(answer);
        if bytes > limits.reader_bytes {
            let cause = format!(
                "{bytes} bytes were read; {} are allowed",
                limits.reader_bytes
            );
            return Err(Failure::new(ITEM_READER, cause));
        }
        let items = reader::items(&reader.format, answer, most.min(limits.items + 1));
        let items = items.map_err(|cause| Failure::new(ITEM_READER, cause))?;
        if items.len() > limits.items {
            let cause = format!("there are more than {} items", limits.items);
            return Err(Failure::new(ITEM_READER, cause));
        }
        Ok(items)
    }

    /// `ItemBatcher`
    fn batch(
        &mut self,
        frame: &Frame,
        active: &Active,
        map: &Map,
        job: &mut MapJob,
    ) -> Result<(), Trouble> {
        let Some(batcher) = &map.batcher else {
            return Ok(());
        };
        let input = job.input.clone();
        let mut evaluator = self.evaluator(frame, active, &input);
        let (most_items, most_bytes) = evaluator.batch_bounds(batcher)?;
        let extra = match &batcher.input {
            Some(template) => Some(evaluator.template(template)?),
            None => None,
        };
        let mut selected = Vec::new();
        for (index, value) in job.items.as_array().into_iter().flatten().enumerate() {
            let item = super::frame::Item {
                index,
                value: Arc::new(value.clone()),
            };
            let mut evaluator = self.evaluator(frame, active, &input);
            evaluator.context.item = Some(&item);
            selected.push(match &map.selector {
                Some(selector) => evaluator.template(selector)?,
                None => value.clone(),
            });
        }
        job.items = Arc::new(Value::Array(batches(
            selected,
            most_items,
            most_bytes,
            extra.as_ref(),
        )));
        job.batched = true;
        Ok(())
    }

    /// A child execution failed: the run goes on if that is tolerated.
    pub(super) fn run_child_failed(
        &mut self,
        frame: &mut Frame,
        active: Box<Active>,
        job: Box<MapJob>,
    ) -> After {
        let (failed, total) = (job.failed as u64, job.results.len().max(1) as f64);
        let tolerated = job.run.as_ref().is_some_and(|run| {
            let count = run.tolerated_count.map(|most| failed <= most);
            let share = failed as f64 * 100.0 / total;
            let percentage = run.tolerated_percentage.map(|most| share <= most);
            match (count, percentage) {
                (None, None) => false,
                (count, percentage) => count.unwrap_or(true) && percentage.unwrap_or(true),
            }
        });
        if tolerated {
            let previous = frame.last;
            return self.next_iteration(frame, active, job, previous);
        }
        let cause = "The specified tolerated failure threshold was exceeded";
        self.run_failed(frame, active, job, Failure::new(THRESHOLD, cause))
    }

    pub(super) fn run_failed(
        &mut self,
        frame: &mut Frame,
        active: Box<Active>,
        job: Box<MapJob>,
        failure: Failure,
    ) -> After {
        frame.last = job.run.as_ref().map_or(frame.last, |run| run.started_event);
        self.record(frame, "MapRunFailed", failure.details());
        let broken = Broken::Children(Some(Job::Map(job)));
        self.state_failed(frame, active, failure, broken)
    }

    /// All children are over.
    pub(super) fn run_done(
        &mut self,
        frame: &mut Frame,
        active: Box<Active>,
        mut job: MapJob,
    ) -> After {
        let state = self.machine.state(active.state);
        match &state.kind {
            Kind::Map(map) if map.writer.is_some() => self.write(frame, active, map, job),
            _ => {
                self.cancel(std::mem::take(&mut job.stopped));
                self.record_run_succeeded(frame, &job);
                self.aggregate(frame, active, job.results)
            }
        }
    }

    pub(super) fn record_run_succeeded(&mut self, frame: &mut Frame, job: &MapJob) {
        let started = job.run.as_ref().map_or(frame.last, |run| run.started_event);
        let succeeded = self.record_after(frame.stream, started, "MapRunSucceeded", Details::new());
        self.record_after(frame.stream, succeeded, "MapStateSucceeded", Details::new());
        frame.last = started;
    }
}

impl Evaluator<'_> {
    fn batch_bounds(&mut self, batcher: &Batcher) -> Result<(usize, usize), Trouble> {
        let mut bound = |amount: &Option<Amount>| -> Result<usize, Trouble> {
            let count = match amount {
                None => return Ok(usize::MAX),
                Some(Amount::Literal(count)) => Some(*count),
                Some(Amount::Computed(place)) => {
                    let value = self.bound(place)?;
                    let text = value.as_str().and_then(|text| text.parse().ok());
                    text.or_else(|| round(&value))
                        .and_then(|n: i64| u64::try_from(n).ok())
                }
            };
            let count = count.filter(|count| *count > 0);
            let bad = || Trouble::runtime("The size of a batch must be a positive integer.");
            count
                .map(|n| usize::try_from(n).unwrap_or(usize::MAX))
                .ok_or_else(bad)
        };
        Ok((bound(&batcher.max_items)?, bound(&batcher.max_bytes)?))
    }
}

/// Groups items; each group is the input of one child.
fn batches(
    items: Vec<Value>,
    most_items: usize,
    most_bytes: usize,
    extra: Option<&Value>,
) -> Vec<Value> {
    let frame = size(&json!({ "Items": [] })) + extra.map_or(0, |extra| size(extra) + 15);
    let mut batches = Vec::new();
    let mut batch: Vec<Value> = Vec::new();
    let mut bytes = frame;
    let close = |batch: &mut Vec<Value>| {
        let mut closed = json!({ "Items": std::mem::take(batch) });
        if let (Some(extra), Some(fields)) = (extra, closed.as_object_mut()) {
            fields.insert("BatchInput".into(), extra.clone());
        }
        closed
    };
    for item in items {
        let item_bytes = size(&item) + 1;
        let full = batch.len() >= most_items || bytes + item_bytes > most_bytes;
        if full && !batch.is_empty() {
            batches.push(close(&mut batch));
            bytes = frame;
        }
        bytes += item_bytes;
        batch.push(item);
    }
    if !batch.is_empty() {
        batches.push(close(&mut batch));
    }
    batches
}
