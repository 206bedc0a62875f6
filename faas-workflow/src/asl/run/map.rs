//! Map states: their items, and their iterations.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Turn;
use super::child::Start;
use super::evaluate::Evaluator;
use super::failure::{Failure, QUERY, Trouble};
use super::frame::{Active, Child, Frame, Item, Job, Link, MapJob};
use super::records::details;
use super::recovery::Broken;
use super::states::unexpected;
use super::turn::After;
use crate::asl::expression::QueryLanguage;
use crate::asl::intrinsic::uuid;
use crate::asl::model::{Items, Kind, Limit, Map, Mode, State};
use crate::asl::template::{Query, Template};
use crate::program::Data;

impl Turn<'_> {
    pub(super) fn start_map(
        &mut self,
        frame: &mut Frame,
        active: &mut Active,
        state: &State,
        map: &Map,
        input: Data,
    ) -> Result<After, Trouble> {
        let concurrency = self
            .evaluator(frame, active, &input)
            .count(&map.concurrency)?;
        let limits = &self.machine.settings.limits;
        let most = match map.mode {
            Mode::Inline => limits.inline_concurrency,
            Mode::Distributed => limits.distributed_concurrency,
        };
        let concurrency = match concurrency.map(usize::try_from) {
            Some(Ok(0)) | None => most,
            Some(Ok(given)) => given.min(most),
            Some(Err(_)) => return Err(Trouble::runtime("MaxConcurrency cannot be negative.")),
        };
        let items = match &map.reader {
            Some(_) => Arc::new(Value::Array(Vec::new())),
            None => self.items(frame, active, state, map, &input)?,
        };
        let length = items.as_array().map_or(0, Vec::len);
        let job = MapJob {
            input,
            items,
            batched: false,
            next: 0,
            results: Vec::new(),
            running: BTreeSet::new(),
            stopped: BTreeSet::new(),
            finished: 0,
            failed: 0,
            concurrency: concurrency.max(1),
            run: None,
        };
        self.record(
            frame,
            "MapStateStarted",
            details(json!({ "length": length })),
        );
        if map.mode == Mode::Distributed || map.reader.is_some() {
            return self.start_run(frame, active, map, job);
        }
        self.iterate(frame, active, state, map, job)
    }

    fn items(
        &mut self,
        frame: &Frame,
        active: &Active,
        state: &State,
        map: &Map,
        input: &Data,
    ) -> Result<Data, Trouble> {
        let mut evaluator = self.evaluator(frame, active, input);
        let (items, path) = match &map.items {
            Items::Input => (input.clone(), "$"),
            Items::Path(path) => (evaluator.required(path)?, path.text()),
            Items::Template(template) => {
                let items = evaluator.data(template)?;
                if let Template::Place(place) = template
                    && !items.is_array()
                {
                    return Err(unexpected(place, "array", &items));
                }
                (items, "Items")
            }
        };
        let limit = self.machine.settings.limits.items;
        match &*items {
            Value::Array(elements) if elements.len() > limit => {
                let detail = format!("The Map state has more than {limit} items.");
                Err(Trouble::runtime(detail))
            }
            Value::Array(_) => Ok(items),
            other if state.query == QueryLanguage::Jsonata => {
                let detail = format!("Map state input must be an array but was: {other}");
                Err(Trouble::new(QUERY, detail))
            }
            _ => {
                let detail = format!("Reference path \"{path}\" must point to array.");
                Err(Trouble::runtime(detail))
            }
        }
    }

    /// Starts as many iterations as may run.
    pub(super) fn iterate(
        &mut self,
        frame: &mut Frame,
        active: &mut Active,
        state: &State,
        map: &Map,
        mut job: MapJob,
    ) -> Result<After, Trouble> {
        let length = job.items.as_array().map_or(0, Vec::len);
        job.results = vec![None; length];
        let previous = frame.last;
        for _ in 0..length.min(job.concurrency) {
            if let Err(trouble) =
                self.start_iteration(frame, active, state, map, &mut job, previous)
            {
                self.cancel(job.running);
                return Err(trouble);
            }
        }
        let done = length == 0;
        active.job = Job::Map(Box::new(job));
        Ok(if done { After::NoItems } else { After::Blocked })
    }

    fn start_iteration(
        &mut self,
        frame: &Frame,
        active: &Active,
        state: &State,
        map: &Map,
        job: &mut MapJob,
        previous: u64,
    ) -> Result<(), Trouble> {
        let index = job.next;
        job.next += 1;
        let value = job.items.get(index).cloned().unwrap_or_default();
        let item = Item {
            index,
            value: Arc::new(value),
        };
        let input = match &map.selector {
            Some(selector) if !job.batched => {
                let mut evaluator = self.evaluator(frame, active, &job.input);
                evaluator.context.item = Some(&item);
                evaluator.data(selector)?
            }
            _ => item.value.clone(),
        };
        self.check_size(&input, &state.name)?;
        let (last, child) = match &job.run {
            None => {
                let started = details(json!({ "name": &*state.name, "index": index }));
                (
                    self.record_after(frame.stream, previous, "MapIterationStarted", started),
                    None,
                )
            }
            Some(_) => {
                let child = Child {
                    label: map.label.clone(),
                    name: uuid(&mut self.random),
                    input: input.clone(),
                    started: self.at,
                };
                (0, Some(Box::new(child)))
            }
        };
        let start = Start {
            slot: index,
            attempt: active.retry_count,
            state: map.start,
            input,
            last,
            item: Some(item),
            child,
        };
        job.running.insert(self.start_child(frame, start));
        Ok(())
    }

    pub(super) fn iteration_succeeded(
        &mut self,
        frame: &mut Frame,
        active: Box<Active>,
        mut job: Box<MapJob>,
        index: usize,
        last: u64,
    ) -> After {
        let state = self.machine.state(active.state);
        if job.run.is_none() {
            let succeeded = details(json!({ "name": &*state.name, "index": index }));
            let id = self.record_after(frame.stream, last, "MapIterationSucceeded", succeeded);
            frame.last = id;
        }
        job.finished += 1;
        self.next_iteration(frame, active, job, last)
    }

    pub(super) fn iteration_failed(
        &mut self,
        frame: &mut Frame,
        active: Box<Active>,
        mut job: Box<MapJob>,
        link: Link,
        failure: Failure,
        last: u64,
    ) -> After {
        if job.run.is_some() {
            job.failed += 1;
            job.stopped.insert(link.child);
            return self.run_child_failed(frame, active, job);
        }
        let state = self.machine.state(active.state);
        let failed = details(json!({ "name": &*state.name, "index": link.slot }));
        self.record_after(frame.stream, last, "MapIterationFailed", failed);
        frame.last = last;
        self.record_iterations_aborted(frame, &state.name, &job);
        job.running.insert(link.child);
        let broken = Broken::Children(Some(Job::Map(job)));
        self.state_failed(frame, active, failure, broken)
    }

    /// An iteration is over, whose last event was `previous`: another can start, or the Map is over,
    /// too.
    pub(super) fn next_iteration(
        &mut self,
        frame: &mut Frame,
        mut active: Box<Active>,
        mut job: Box<MapJob>,
        previous: u64,
    ) -> After {
        let state = self.machine.state(active.state);
        let Kind::Map(map) = &state.kind else {
            return After::Blocked;
        };
        if job.next < job.results.len() {
            let started = self.start_iteration(frame, &active, state, map, &mut job, previous);
            if let Err(trouble) = started {
                job.next -= 1;
                let broken = Broken::Children(Some(Job::Map(job)));
                return self.own_failed(frame, active, trouble, broken);
            }
        }
        if job.finished + job.failed < job.results.len() {
            active.job = Job::Map(job);
            return self.keep(frame, active, After::Blocked);
        }
        if job.run.is_some() {
            return self.run_done(frame, active, *job);
        }
        self.cancel(std::mem::take(&mut job.stopped));
        self.record_after(
            frame.stream,
            frame.last,
            "MapStateSucceeded",
            details(json!({})),
        );
        self.aggregate(frame, active, job.results)
    }
}

impl Evaluator<'_> {
    /// A bound that is a whole number; a text of digits is one, too, as on AWS.
    pub(super) fn count(&mut self, limit: &Limit) -> Result<Option<i64>, Trouble> {
        self.number(
            limit,
            "integer",
            |text| text.parse().ok(),
            |value| {
                let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
                value
                    .as_i64()
                    .or_else(|| whole.then(|| crate::asl::value::round(value)).flatten())
            },
        )
    }

    /// A bound that may be a fraction.
    pub(super) fn fraction(&mut self, limit: &Limit) -> Result<Option<f64>, Trouble> {
        self.number(limit, "float", |text| text.parse().ok(), Value::as_f64)
    }

    fn number<T>(
        &mut self,
        limit: &Limit,
        kind: &str,
        parse: impl Fn(&str) -> Option<T>,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Trouble> {
        let place = match limit {
            Limit::None => return Ok(None),
            Limit::Literal(number) => return Ok(convert(&json!(number))),
            Limit::Computed(place) => place,
        };
        let value = self.bound(place)?;
        let number = convert(&value).or_else(|| value.as_str().and_then(parse));
        if let Some(number) = number {
            return Ok(Some(number));
        }
        if let Query::Expression { .. } = &place.query {
            return Err(unexpected(place, "number", &value));
        }
        let shown = value.as_str().map_or_else(|| value.to_string(), Into::into);
        let (field, path) = (&place.field, place.text());
        let detail = format!(
            "The {field} field refers to value \"{shown}\" which is not a valid {kind}: {path}"
        );
        Err(Trouble::runtime(detail))
    }
}
