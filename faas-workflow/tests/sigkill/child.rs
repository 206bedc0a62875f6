//! The process that is killed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_core::{ErrorKind, Store};
use faas_sqlite::{SqliteStore, Synchronous};
use faas_workflow::registry::WorkflowSettings;
use faas_workflow::{EngineOptions, RegisterWorkflow, WorkflowEngine, WorkflowLayer};
use futures::stream::{self, StreamExt};
use serde_json::json;
use tokio::sync::mpsc;

use crate::DIRECTORY;
use crate::work::{Memory, WORKFLOWS, World, definition, executions, lines, start};

/// The store, as whoever looks at it after a kill opens it, too.
pub(crate) async fn store(directory: &Path) -> Arc<dyn Store> {
    // The kill of a process loses nothing that was written; so it need not wait for the disk.
    let store = SqliteStore::builder(directory.join("store.db"));
    Arc::new(store.synchronous(Synchronous::Normal).open().await.unwrap())
}

/// Not a test by itself: what the test starts.
#[test]
fn works() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work(&directory));
}

async fn work(directory: &Path) {
    Memory::open(&directory.join("rounds")).note("begun");
    let (complete, mut asked) = mpsc::unbounded_channel();
    for line in lines(directory.join("tokens")) {
        // Those of whom nobody knows whether they answered answer again.
        let (token, n) = line.split_once(' ').unwrap();
        complete
            .send((token.parse().unwrap(), n.parse().unwrap()))
            .unwrap();
    }
    let world = Arc::new(World::new(directory, complete));
    let mut options = EngineOptions::default();
    options.tasks = 64;
    let layer = WorkflowLayer::builder()
        .store(store(directory).await)
        .invoker(world)
        .options(options)
        .build()
        .await
        .unwrap();
    for (workflow, durability) in WORKFLOWS {
        let (namespace, name) = ("default".parse().unwrap(), workflow.parse().unwrap());
        let mut register = RegisterWorkflow::new(namespace, name, definition(workflow));
        register.settings = WorkflowSettings::new().durability(durability);
        layer.registry().register(register).await.unwrap();
    }
    let engine = layer.engine().clone();
    let answering = tokio::spawn(async move {
        while let Some((token, n)) = asked.recv().await {
            let tasks = engine.external_tasks().unwrap();
            match tasks.complete(&token, Ok(json!(3 * n).into())).await {
                // It was answered before.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => other.unwrap(),
            }
        }
    });
    let memory = &Memory::open(&directory.join("acknowledged"));
    let engine = layer.engine();
    let run = async |number| {
        let started = engine.start(start(number)).await.unwrap();
        memory.note(&format!("started {number} {}", started.id));
        let ended = engine.wait(started.id).await.unwrap();
        let ending = serde_json::to_string(&ended.ending).unwrap();
        memory.note(&format!("ended {number} {ending}"));
    };
    stream::iter(0..executions())
        .map(run)
        .buffer_unordered(200)
        .collect::<()>()
        .await;
    answering.abort();
    layer
        .shutdown(std::time::Duration::from_secs(10))
        .await
        .unwrap();
}
