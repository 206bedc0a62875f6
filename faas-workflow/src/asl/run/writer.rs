//! `ResultWriter`: the results of a run as objects, and a manifest that names them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Turn;
use super::failure::{Failure, RESULT_WRITER};
use super::frame::{Active, Frame, Job, MapJob};
use super::recovery::Broken;
use super::resource::failure_of;
use super::turn::After;
use crate::asl::intrinsic::uuid;
use crate::asl::model::{Map, Writer};
use crate::program::{Data, TaskError};

impl Turn<'_> {
    /// Begins to write what a run gave.
    pub(super) fn write(
        &mut self,
        frame: &mut Frame,
        active: Box<Active>,
        map: &Map,
        mut job: MapJob,
    ) -> After {
        self.cancel(std::mem::take(&mut job.stopped));
        let Some(writer) = &map.writer else {
            return After::Blocked;
        };
        let input = job.input.clone();
        let arguments = match &writer.arguments {
            Some(template) => self.evaluator(frame, &active, &input).template(template),
            None => Ok(Value::Null),
        };
        let arguments = match arguments {
            Ok(arguments) => arguments,
            Err(trouble) => {
                return self.own_failed(frame, active, trouble, Broken::Children(None));
            }
        };
        let results = std::mem::take(&mut job.results);
        let outcomes = outcomes(writer, &job.items, &results);
        if writer.resource.is_none() {
            // Only the form of the results is changed.
            self.record_run_succeeded(frame, &job);
            let [succeeded, _] = outcomes;
            let succeeded = succeeded.into_iter().map(|outcome| Some(Arc::new(outcome)));
            return self.aggregate(frame, active, succeeded.collect());
        }
        let text = |name: &str| {
            arguments
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (bucket, prefix) = (
            text("Bucket").to_owned(),
            text("Prefix").trim_end_matches('/'),
        );
        let slash = if prefix.is_empty() { "" } else { "/" };
        let folder = format!("{prefix}{slash}{}", uuid(&mut self.random));
        let Some(run) = &mut job.run else {
            return After::Blocked;
        };
        let ending = if writer.lines { "jsonl" } else { "json" };
        let [succeeded, failed] = outcomes;
        let files = [("SUCCEEDED", succeeded), ("FAILED", failed)];
        let mut names = json!({ "SUCCEEDED": [], "FAILED": [], "PENDING": [] });
        for (status, outcomes) in files.into_iter().filter(|(_, o)| !o.is_empty()) {
            let key = format!("{folder}/{status}_0.{ending}");
            let body = body(writer, &outcomes);
            names[status] = json!([{ "Key": key, "Size": body.len() }]);
            run.unwritten.insert(0, (key, body.into()));
        }
        let manifest = json!({
            "DestinationBucket": bucket, "MapRunArn": run.arn, "ResultFiles": names,
        });
        let key = format!("{folder}/manifest.json");
        run.unwritten
            .insert(0, (key.clone(), manifest.to_string().into()));
        let details = json!({ "Bucket": bucket, "Key": key });
        let output = json!({ "MapRunArn": run.arn, "ResultWriterDetails": details });
        run.output = Some(Arc::new(output));
        self.write_next(frame, active, map, job)
    }

    /// Writes the next object, or is done.
    fn write_next(
        &mut self,
        frame: &mut Frame,
        mut active: Box<Active>,
        map: &Map,
        mut job: MapJob,
    ) -> After {
        let resource = map
            .writer
            .as_ref()
            .and_then(|writer| writer.resource.as_ref());
        let (Some(resource), Some(run)) = (resource, &mut job.run) else {
            return After::Blocked;
        };
        let output = run.output.clone().unwrap_or_default();
        if let Some((key, body)) = run.unwritten.pop() {
            let bucket = output["ResultWriterDetails"]["Bucket"].clone();
            let arguments = json!({ "Bucket": bucket, "Key": &key, "Body": body });
            run.task = Some(self.ask(frame, &active, resource, &key, Arc::new(arguments)));
            active.job = Job::Map(Box::new(job));
            return self.keep(frame, active, After::Blocked);
        }
        self.record_run_succeeded(frame, &job);
        let state = self.machine.state(active.state);
        match self.exit(frame, &mut active, state, output) {
            Ok(after) => self.keep(frame, active, after),
            Err(trouble) => self.own_failed(frame, active, trouble, Broken::Itself),
        }
    }

    /// An object is written, or cannot be.
    pub(super) fn written(
        &mut self,
        frame: &mut Frame,
        active: Box<Active>,
        map: &Map,
        job: MapJob,
        result: Result<Data, TaskError>,
    ) -> After {
        let resource = map
            .writer
            .as_ref()
            .and_then(|writer| writer.resource.as_ref());
        match (result, resource) {
            (Err(error), Some(resource)) => {
                let failure = failure_of(error, resource);
                let cause = failure.cause.unwrap_or_default();
                self.run_failed(
                    frame,
                    active,
                    Box::new(job),
                    Failure::new(RESULT_WRITER, cause),
                )
            }
            _ => self.write_next(frame, active, map, job),
        }
    }
}

/// What is said of the children that succeeded, and of those that failed.
fn outcomes(writer: &Writer, items: &Value, results: &[Option<Data>]) -> [Vec<Value>; 2] {
    let (mut succeeded, mut failed) = (Vec::new(), Vec::new());
    for (index, result) in results.iter().enumerate() {
        let input = || items.get(index).map(Value::to_string);
        match result {
            Some(output) if writer.compact => succeeded.push(Value::clone(output)),
            Some(output) => succeeded.push(json!({
                "Input": input(), "Output": output.to_string(), "Status": "SUCCEEDED",
            })),
            None => failed.push(json!({ "Input": input(), "Status": "FAILED" })),
        }
    }
    [succeeded, failed]
}

fn body(writer: &Writer, outcomes: &[Value]) -> String {
    if writer.lines {
        return outcomes
            .iter()
            .map(|outcome| format!("{outcome}\n"))
            .collect();
    }
    Value::from(outcomes.to_vec()).to_string()
}
