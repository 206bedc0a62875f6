//! Tasks for what is no function.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use faas_core::Description;
use faas_workflow::WorkflowEngine;
use faas_workflow::builder::{Expression as E, WorkflowBuilder};
use faas_workflow::engine::conformance::Harness;
use faas_workflow::engine::{ResourceAnswer, ResourceCall, TaskResources};
use faas_workflow::program::{ChildExecution, TaskError};
use futures::FutureExt;
use serde_json::json;

use super::{echo, failure, output};
use crate::fixtures::{Place, start_of, within};

/// A queue that answers, a job that takes an hour, and another workflow under another name.
#[derive(Default)]
struct World(Mutex<Vec<Arc<str>>>);

#[async_trait]
impl TaskResources for World {
    async fn call(&self, call: ResourceCall) -> Result<ResourceAnswer, TaskError> {
        self.0.lock().unwrap().push(call.idempotency_key.clone());
        match call.resource.as_str() {
            "queue" => Ok(ResourceAnswer::Output(json!({"sent": *call.input}).into())),
            "job" => {
                let end = async move {
                    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
                    Ok(json!("done").into())
                };
                Ok(ResourceAnswer::Job(json!("job-1").into(), end.boxed()))
            }
            "workflow" => {
                let child = ChildExecution::new("inner".parse().unwrap());
                Ok(ResourceAnswer::Child(child, call.input))
            }
            "panic" => panic!("a defect"),
            other => Err(TaskError::new("Unknown", other)),
        }
    }

    fn describe(&self) -> Description {
        Description::new("World")
    }
}

async fn place(resource: &str) -> (Place, Arc<World>) {
    let mut place = Place::default();
    let world = Arc::new(World::default());
    place.resources = Some(world.clone());
    let inner = WorkflowBuilder::new().output(E::input(""));
    place.register("inner", inner.build().unwrap()).await;
    let outer = WorkflowBuilder::new()
        .resource("task", resource, |task| task)
        .output(E::result("task", ""));
    place.register("outer", outer.build().unwrap()).await;
    (place, world)
}

#[tokio::test(start_paused = true)]
async fn a_resource_answers_or_starts_a_job_or_names_another_workflow() {
    let answers = [
        ("queue", json!({"sent": 7})),
        ("job", json!("done")),
        ("workflow", json!(7)),
    ];
    for (resource, answer) in answers {
        let (place, _) = place(resource).await;
        let engine = place.open(echo()).await;
        let id = engine
            .start(start_of("outer", "one", json!(7)))
            .await
            .unwrap()
            .id;
        let day = std::time::Duration::from_secs(86_400);
        let head = tokio::time::timeout(day, engine.wait(id))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(output(&head), answer, "{resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_fails_or_panics_fails_its_task() {
    for (resource, kind) in [("nonsense", "Unknown"), ("panic", "Platform.Internal")] {
        let (place, _) = place(resource).await;
        let engine = place.open(echo()).await;
        let id = engine
            .start(start_of("outer", "one", json!(7)))
            .await
            .unwrap()
            .id;
        assert_eq!(failure(&within(engine.wait(id)).await.unwrap()), kind);
    }
    let (mut place, _) = place("queue").await;
    place.resources = None;
    let engine = place.open(echo()).await;
    let id = engine
        .start(start_of("outer", "one", json!(7)))
        .await
        .unwrap()
        .id;
    let head = within(engine.wait(id)).await.unwrap();
    assert_eq!(failure(&head), "Platform.Unsupported");
}

#[tokio::test(start_paused = true)]
async fn a_job_is_asked_about_again_after_a_crash_under_its_key() {
    let (place, world) = place("job").await;
    let engine = place.open(echo()).await;
    let id = engine
        .start(start_of("outer", "one", json!(7)))
        .await
        .unwrap()
        .id;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    drop(engine);
    let engine = place.open(echo()).await;
    let day = std::time::Duration::from_secs(86_400);
    let head = tokio::time::timeout(day, engine.wait(id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output(&head), json!("done"));
    let keys = world.0.lock().unwrap().clone();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}
