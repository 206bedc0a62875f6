//! Executions that begin again as new ones.

use std::sync::Arc;

use faas_core::encoding::Stored;
use faas_core::{FunctionRef, Name};
use faas_workflow::engine::conformance::Harness;
use faas_workflow::program::{
    Beginning, Command, DefinitionDigest, Erased, EventKind, Program, ProgramEvent, TaskNumber,
    TaskRequest, TypedProgram,
};
use faas_workflow::registry::DefinitionFaults;
use faas_workflow::{
    Definition, Ending, ExecutionStatus, HistoryQuery, HistoryRecord, Language, Signal,
    StoreWorkflowRegistry, WorkflowEngine,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{echo, output};
use crate::fixtures::{Place, clock, start_of, within};

/// Calls `echo` with a number, and begins again with one less, until it is zero. Panics at a signal
/// named `panic`.
#[derive(Debug)]
struct Countdown;

#[derive(Serialize, Deserialize)]
struct Left(u64);

impl Stored for Left {
    const KIND: &'static str = "countdown";
    const VERSION: u32 = 1;
}

type Parts = (Left, Vec<Command>, Vec<HistoryRecord>);

impl TypedProgram for Countdown {
    type State = Left;

    fn digest(&self) -> DefinitionDigest {
        DefinitionDigest::of(b"countdown")
    }

    fn begin(&self, beginning: Beginning) -> Parts {
        let left = beginning.input.as_u64().unwrap_or(0);
        let function: FunctionRef = if left == 13 { "hang" } else { "echo" }.parse().unwrap();
        let input = beginning.input.clone();
        let call = TaskRequest::new(TaskNumber(1), "call", function, input);
        let record = HistoryRecord::new(1, beginning.at, "Began", json!(left));
        (Left(left), vec![Command::RunTask(call)], vec![record])
    }

    fn step(&self, state: Left, event: ProgramEvent) -> Parts {
        let command = match event.kind {
            EventKind::TaskEnded { .. } if state.0 == 0 => {
                Some(Command::End(Ending::Succeeded(Arc::new(json!("lift-off")))))
            }
            EventKind::TaskEnded { .. } => Some(Command::ContinueAsNew(json!(state.0 - 1).into())),
            EventKind::Signalled(signal) if signal.name.as_str() == "panic" => panic!("a defect"),
            EventKind::Signalled(_) => Some(Command::ContinueAsNew(json!(2).into())),
            EventKind::Aborted(error) => Some(Command::End(Ending::Failed(error))),
            _ => None,
        };
        (state, command.into_iter().collect(), Vec::new())
    }
}

#[derive(Debug)]
struct CountdownLanguage;

impl Language for CountdownLanguage {
    fn name(&self) -> Name {
        "countdown".parse().unwrap()
    }

    fn compile(&self, definition: &Definition) -> Result<Arc<dyn Program>, DefinitionFaults> {
        #[derive(Debug)]
        struct As(DefinitionDigest);
        impl TypedProgram for As {
            type State = Left;
            fn digest(&self) -> DefinitionDigest {
                self.0.clone()
            }
            fn begin(&self, beginning: Beginning) -> Parts {
                Countdown.begin(beginning)
            }
            fn step(&self, state: Left, event: ProgramEvent) -> Parts {
                Countdown.step(state, event)
            }
        }
        Ok(Arc::new(Erased(As(definition.digest()))))
    }
}

async fn place() -> Place {
    let mut place = Place::default();
    let registry = StoreWorkflowRegistry::new(place.store.clone(), clock());
    place.registry = Arc::new(registry.with_language(Arc::new(CountdownLanguage)));
    let language = "countdown".parse().unwrap();
    place
        .register("countdown", Definition::new(language, ""))
        .await;
    place
}

#[tokio::test(start_paused = true)]
async fn each_run_has_a_history_of_its_own_and_the_last_ones_end_is_the_end() {
    let place = place().await;
    let functions = echo();
    let engine = place.open(functions.clone()).await;
    let first = engine
        .start(start_of("countdown", "one", json!(3)))
        .await
        .unwrap();
    let last = within(engine.wait(first.id)).await.unwrap();
    assert_eq!(output(&last), json!("lift-off"));
    assert_eq!(functions.called("echo").len(), 4);
    let old = engine.describe_execution(first.id).await.unwrap();
    assert_eq!(old.status(), ExecutionStatus::Continued);
    let again = engine
        .start(start_of("countdown", "one", json!(3)))
        .await
        .unwrap();
    assert_eq!(again.id, last.id, "the name is the last run's");
    let (mut id, mut inputs) = (first.id, Vec::new());
    loop {
        let history = engine.history(HistoryQuery::new(id)).await.unwrap();
        inputs.extend(history.records.iter().map(|record| record.details.clone()));
        match engine.describe_execution(id).await.unwrap().ending {
            Some(Ending::Continued(next)) => id = next,
            _ => break,
        }
    }
    assert_eq!(inputs, [json!(3), json!(2), json!(1), json!(0)]);
    assert_eq!(id, last.id);
}

#[tokio::test(start_paused = true)]
async fn a_signal_reaches_the_run_that_goes_on_also_after_a_crash() {
    let place = place().await;
    let functions = echo();
    let engine = place.open(functions.clone()).await;
    let first = engine
        .start(start_of("countdown", "one", json!(14)))
        .await
        .unwrap();
    within(functions.running(1)).await;
    drop(engine);
    within(functions.running(0)).await;
    let engine = place.open(functions.clone()).await;
    within(functions.running(1)).await;
    let signal = Signal::new("skip".parse().unwrap(), json!(null));
    engine.signal(first.id, signal).await.unwrap();
    let last = within(engine.wait(first.id)).await.unwrap();
    assert_eq!(output(&last), json!("lift-off"));
    within(functions.running(0)).await;
    assert_eq!(
        functions.called("hang").len(),
        2,
        "before and after the crash"
    );
}

#[tokio::test(start_paused = true)]
async fn a_program_that_panics_fails_its_execution_alone() {
    let place = place().await;
    let functions = echo();
    let engine = place.open(functions.clone()).await;
    let bad = engine
        .start(start_of("countdown", "bad", json!(13)))
        .await
        .unwrap();
    within(functions.running(1)).await;
    let signal = Signal::new("panic".parse().unwrap(), json!(null));
    engine.signal(bad.id, signal).await.unwrap_err();
    let head = within(engine.wait(bad.id)).await.unwrap();
    assert_eq!(super::failure(&head), "Platform.Internal");
    within(functions.running(0)).await;
    let good = engine
        .start(start_of("countdown", "good", json!(1)))
        .await
        .unwrap();
    let good = within(engine.wait(good.id)).await.unwrap();
    assert_eq!(output(&good), json!("lift-off"));
}
