//! What is kept how long, and what is kept alive.

use std::sync::{Arc, Weak};
use std::time::Duration;

use faas_core::{ErrorKind, Invoker, Store};
use faas_workflow::builder::{Expression as E, WorkflowBuilder};
use faas_workflow::engine::conformance::Harness;
use faas_workflow::registry::WorkflowSettings;
use faas_workflow::{EngineOptions, WorkflowEngine};
use serde_json::json;

use super::{echo, output};
use crate::fixtures::{Place, start_of, within};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn an_execution_is_deleted_when_its_time_is_over_and_its_name_is_free() {
    let place = Place::default();
    let definition = WorkflowBuilder::new().output(E::input("")).build().unwrap();
    let settings = WorkflowSettings::new().retention(HOUR);
    place
        .register_with("brief", definition.clone(), settings)
        .await;
    place.register("lasting", definition).await;
    let engine = place.open(echo()).await;
    let brief = engine
        .start(start_of("brief", "one", json!(1)))
        .await
        .unwrap()
        .id;
    let lasting = engine
        .start(start_of("lasting", "two", json!(1)))
        .await
        .unwrap()
        .id;
    tokio::time::sleep(HOUR / 2).await;
    assert!(
        within(engine.wait(brief)).await.is_ok(),
        "it is kept for an hour"
    );
    tokio::time::sleep(HOUR).await;
    let gone = engine.describe_execution(brief).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert!(engine.describe_execution(lasting).await.is_ok());
    let again = engine
        .start(start_of("brief", "one", json!(2)))
        .await
        .unwrap();
    assert_ne!(again.id, brief);
    assert_eq!(
        output(&within(engine.wait(again.id)).await.unwrap()),
        json!(2)
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_everything_ends_all_tasks_and_keeps_nothing_alive() {
    for exclusive in [true, false] {
        let place = Place::default();
        let definition = WorkflowBuilder::new()
            .task("hang", "hang", |task| task)
            .worker("worker", "nobody", |task| task)
            .workflow("child", "hanging", |task| task)
            .sleep("sleep", HOUR, |task| task);
        place.register("busy", definition.build().unwrap()).await;
        let hanging = WorkflowBuilder::new().task("hang", "hang", |task| task);
        place.register("hanging", hanging.build().unwrap()).await;
        let functions = echo();
        let mut options = EngineOptions::default();
        options.exclusive = exclusive;
        let layer = place.layer(functions.clone(), options).await;
        let id = layer
            .engine()
            .start(start_of("busy", "one", json!(1)))
            .await
            .unwrap()
            .id;
        within(functions.running(2)).await;
        let engine = layer.engine().clone();
        let waiting = tokio::spawn(async move { engine.wait(id).await });
        tokio::task::yield_now().await;
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        let held: (Weak<dyn Invoker>, Weak<dyn Store>) = {
            let functions: Arc<dyn Invoker> = functions.clone();
            (Arc::downgrade(&functions), Arc::downgrade(&place.store))
        };
        drop(layer);
        within(functions.running(0)).await;
        drop((place, functions));
        let gone = async {
            while held.0.strong_count() + held.1.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        within(gone).await;
    }
}
