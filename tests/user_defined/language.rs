//! A workflow language of one's own: a definition names the functions to call, one after another.

use std::sync::Arc;

use faas::Platform;
use faas::core::encoding::Stored;
use faas::core::{FunctionRef, Name};
use faas::workflow::program::{
    Beginning, Command, Data, DefinitionDigest, Ending, Erased, EventKind, Program, ProgramEvent,
    TaskNumber, TaskRequest, TypedProgram,
};
use faas::workflow::registry::{DefinitionFaults, Fault, Language};
use faas::workflow::{Definition, HistoryRecord};
use serde::{Deserialize, Serialize};

use crate::{doubling, within};

/// `a | b | c`.
#[derive(Debug)]
struct Pipes;

impl Language for Pipes {
    fn name(&self) -> Name {
        "pipes".parse().expect("a name")
    }

    fn compile(&self, definition: &Definition) -> Result<Arc<dyn Program>, DefinitionFaults> {
        let mut faults = Vec::new();
        let mut functions = Vec::new();
        for (place, name) in definition.text.split('|').enumerate() {
            match name.trim().parse::<FunctionRef>() {
                Ok(function) => functions.push(function),
                Err(error) => faults.push(Fault::new(format!("/{place}"), error.message())),
            }
        }
        if !faults.is_empty() {
            return Err(DefinitionFaults(faults));
        }
        let digest = definition.digest();
        Ok(Arc::new(Erased(Pipe { functions, digest })))
    }
}

#[derive(Debug)]
struct Pipe {
    functions: Vec<FunctionRef>,
    digest: DefinitionDigest,
}

/// How many functions were called.
#[derive(Serialize, Deserialize)]
struct Called(usize);

impl Stored for Called {
    const KIND: &'static str = "pipe-state";
    const VERSION: u32 = 1;
}

impl Pipe {
    fn next(&self, called: usize, data: Data) -> (Called, Vec<Command>, Vec<HistoryRecord>) {
        let command = match self.functions.get(called) {
            Some(function) => {
                let number = TaskNumber(called as u64);
                let label = format!("function {called}");
                Command::RunTask(TaskRequest::new(number, label, function.clone(), data))
            }
            None => Command::End(Ending::Succeeded(data)),
        };
        (Called(called + 1), vec![command], Vec::new())
    }
}

impl TypedProgram for Pipe {
    type State = Called;

    fn digest(&self) -> DefinitionDigest {
        self.digest.clone()
    }
    fn begin(&self, beginning: Beginning) -> (Called, Vec<Command>, Vec<HistoryRecord>) {
        self.next(0, beginning.input)
    }
    fn step(
        &self,
        state: Called,
        event: ProgramEvent,
    ) -> (Called, Vec<Command>, Vec<HistoryRecord>) {
        match event.kind {
            EventKind::TaskEnded {
                result: Ok(answer), ..
            } => self.next(state.0, answer),
            EventKind::TaskEnded {
                result: Err(error), ..
            } => {
                let failed = Command::End(Ending::Failed(error));
                (state, vec![failed], Vec::new())
            }
            _ => (state, Vec::new(), Vec::new()),
        }
    }
}

fn pipes(text: &str) -> Definition {
    Definition::new("pipes".parse().expect("a name"), text)
}

#[tokio::test]
async fn its_definitions_are_checked_and_run() {
    let platform = doubling(Platform::builder().language(Arc::new(Pipes))).await;
    let bad = platform
        .register_workflow("bad", pipes("a b | double | /"))
        .await;
    let message = bad.expect_err("two faults").to_string();
    assert!(
        message.contains("/0") && message.contains("/2"),
        "{message}"
    );
    let good = platform.register_workflow("eightfold", pipes("double | double | double"));
    good.await.expect("it compiles");
    let answer: u64 = within(platform.execute("eightfold", "one", &1))
        .await
        .expect("it succeeds");
    assert_eq!(answer, 8);
}
