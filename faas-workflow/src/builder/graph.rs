//! [`TaskGraph`]: the program that the builder's definitions compile to.

use std::collections::{BTreeMap, HashMap, VecDeque};

use faas_core::encoding::Stored;
use faas_core::{Error, ExecutionId, Name, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::turn::Turn;
use super::{Expression, GraphDefinition, Limits, TaskDefinition, TaskRun, validate};
use crate::history::HistoryRecord;
use crate::program::{
    Beginning, Command, Data, DefinitionDigest, Join, Outline, OutlineStep, ProgramDiagram,
    ProgramEvent, Query, Signal, StepChange, StepKind, StepPhase, TaskNumber, TimerNumber,
    TypedProgram,
};
use crate::registry::DefinitionFaults;

/// A graph of tasks: each runs as soon as all that it depends on has a result.
#[derive(Debug)]
pub struct TaskGraph {
    digest: DefinitionDigest,
    pub(super) tasks: Vec<TaskDefinition>,
    pub(super) output: Expression,
    pub(super) index: HashMap<String, usize>,
    pub(super) dependents: Vec<Vec<usize>>,
    dependencies: Vec<usize>,
    pub(super) limits: Limits,
}

impl TaskGraph {
    /// Validates and compiles.
    ///
    /// # Errors
    /// Every fault: unknown or duplicate names, cycles, bad pointers, limits.
    pub fn new(
        graph: GraphDefinition,
        digest: DefinitionDigest,
        limits: Limits,
    ) -> Result<Self, DefinitionFaults> {
        let faults = validate::faults(&graph, limits);
        if !faults.is_empty() {
            return Err(DefinitionFaults(faults));
        }
        let dependencies = validate::dependencies(&graph);
        let mut dependents = vec![Vec::new(); graph.tasks.len()];
        for (task, needed) in dependencies.iter().enumerate() {
            needed
                .iter()
                .for_each(|&needed| dependents[needed].push(task));
        }
        let names = graph.tasks.iter().enumerate();
        Ok(Self {
            digest,
            index: names.map(|(i, task)| (task.name.to_string(), i)).collect(),
            tasks: graph.tasks,
            output: graph.output,
            dependents,
            dependencies: dependencies.iter().map(|needed| needed.len()).collect(),
            limits,
        })
    }
}

/// Where an execution of a [`TaskGraph`] stands.
#[derive(Debug, Serialize, Deserialize)]
pub struct GraphState {
    pub(super) execution: ExecutionId,
    pub(super) input: Data,
    pub(super) steps: Vec<Step>,
    pub(super) unfinished: usize,
    pub(super) calls: BTreeMap<TaskNumber, Call>,
    pub(super) timers: BTreeMap<TimerNumber, Wake>,
    /// Tasks that wait for a signal, in order, with the timer that ends the waiting.
    pub(super) awaiting: Vec<Awaiting>,
    /// Signals that nobody has waited for yet, oldest first.
    pub(super) signals: VecDeque<Signal>,
    pub(super) last_number: u64,
    pub(super) last_record: u64,
    pub(super) redrives: u32,
    pub(super) ended: bool,
}

/// What a timer is for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Wake {
    /// A call is made again.
    Retry(Call),
    /// A task has slept enough.
    Slept(Call),
    /// A task has waited for its signal for too long.
    Late,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Awaiting {
    pub(super) signal: Name,
    pub(super) call: Call,
    pub(super) timer: Option<TimerNumber>,
}

impl Stored for GraphState {
    const KIND: &'static str = "task-graph-state";
    const VERSION: u32 = 1;
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Step {
    Waiting { missing: usize },
    Calling,
    Mapping(Mapping),
    Done(Data),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mapping {
    pub(super) items: Data,
    pub(super) next: usize,
    pub(super) results: Vec<Option<Data>>,
    pub(super) done: usize,
}

/// One logical call, across its attempts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) step: usize,
    pub(super) item: Option<usize>,
    /// How often it was made again under a key of its own.
    pub(super) renewals: u32,
    /// Retries so far, by rule; the last is the platform's own.
    pub(super) retries: Vec<u32>,
    /// The catch rule whose function is called, and the error that it caught.
    pub(super) handler: Option<(usize, Value)>,
}

impl Call {
    /// The idempotency key: the call's place in the graph, whatever ran before it.
    pub(super) fn key(&self, name: &str, redrives: u32) -> String {
        let item = self.item.map(|item| format!("[{item}]"));
        let handler = self.handler.as_ref().map(|(rule, _)| format!("!{rule}"));
        let (item, handler) = (item.unwrap_or_default(), handler.unwrap_or_default());
        let redrives = if redrives > 0 {
            format!("~{redrives}")
        } else {
            String::new()
        };
        format!("{name}{item}{handler}#{}{redrives}", self.renewals)
    }
}

impl ProgramDiagram for TaskGraph {
    fn outline(&self) -> Outline {
        let mut outline = Outline::default();
        for task in &self.tasks {
            let waits = matches!(task.run, TaskRun::Signal(_) | TaskRun::Sleep(_));
            let kind = match (&task.map, waits) {
                (Some(_), _) => StepKind::Map,
                (None, true) => StepKind::Wait,
                (None, false) => StepKind::Task,
            };
            let mut step = OutlineStep::new(task.name.as_str(), kind);
            step.target = task.run.target();
            step.join = Join::All;
            outline.add(step);
        }
        for (from, dependents) in self.dependents.iter().enumerate() {
            dependents
                .iter()
                .for_each(|to| outline.connect(from, *to, ""));
        }
        outline
    }

    fn change(&self, record: &HistoryRecord) -> Option<StepChange> {
        let phase = match record.kind.as_str() {
            "TaskScheduled" | "MapStarted" | "SleepStarted" => StepPhase::Entered,
            "TaskSucceeded" => StepPhase::Succeeded,
            "TaskFailed" => StepPhase::Failed,
            "TaskRetried" | "TaskCaught" => StepPhase::Recovered,
            _ => return None,
        };
        Some(StepChange {
            label: record.details["task"].as_str()?.to_owned(),
            phase,
            at: record.at,
        })
    }
}

impl TypedProgram for TaskGraph {
    type State = GraphState;

    fn digest(&self) -> DefinitionDigest {
        self.digest.clone()
    }

    fn begin(&self, beginning: Beginning) -> (GraphState, Vec<Command>, Vec<HistoryRecord>) {
        let steps = self
            .dependencies
            .iter()
            .map(|&missing| Step::Waiting { missing });
        let state = GraphState {
            execution: beginning.execution.id,
            input: beginning.input,
            steps: steps.collect(),
            unfinished: self.tasks.len(),
            calls: BTreeMap::new(),
            timers: BTreeMap::new(),
            awaiting: Vec::new(),
            signals: VecDeque::new(),
            last_number: 0,
            last_record: 0,
            redrives: 0,
            ended: false,
        };
        let free = (0..self.tasks.len()).filter(|&task| self.dependencies[task] == 0);
        let mut turn = Turn::new(self, state, beginning.at, beginning.entropy);
        turn.begin(free);
        turn.finish()
    }

    fn step(
        &self,
        state: GraphState,
        event: ProgramEvent,
    ) -> (GraphState, Vec<Command>, Vec<HistoryRecord>) {
        let mut turn = Turn::new(self, state, event.at, event.entropy);
        turn.event(event.kind);
        turn.finish()
    }

    fn diagram(&self) -> Option<&dyn ProgramDiagram> {
        Some(self)
    }

    /// `progress`: how far each task has come; `result`: what the task named `data` answered.
    fn query(&self, state: &GraphState, query: &Query) -> Result<Data> {
        let bad = |message| Err(Error::invalid("query execution", message));
        match query.name.as_str() {
            "progress" => Ok(Data::new(self.progress(state))),
            "result" => {
                let task = query.data.as_str().and_then(|name| self.index.get(name));
                match task.map(|task| &state.steps[*task]) {
                    Some(Step::Done(data)) => Ok(data.clone()),
                    Some(_) => bad(format!("task {} has no result yet", query.data)),
                    None => bad(format!("there is no task {}", query.data)),
                }
            }
            other => bad(format!("there is no question {other:?}: progress, result")),
        }
    }
}

impl TaskGraph {
    fn progress(&self, state: &GraphState) -> Value {
        let progress = |step: &Step| match step {
            Step::Waiting { .. } => json!("waiting"),
            Step::Calling => json!("running"),
            Step::Mapping(map) => json!({ "done": map.done, "of": map.results.len() }),
            Step::Done(_) => json!("done"),
        };
        let tasks = self.tasks.iter().zip(&state.steps);
        let tasks = tasks.map(|(task, step)| (task.name.to_string(), progress(step)));
        Value::Object(tasks.collect())
    }
}
