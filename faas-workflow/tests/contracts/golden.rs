//! What a release has written is read for ever: the file beside this test holds what the stores of
//! this layer hold, one line a key, and is never edited; a change of a form gets a file of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use faas_core::policy::SeededRandom;
use faas_core::store::{Batch, Key, KeyRange, Precondition, Scan, Space};
use faas_core::{ExecutionId, MemoryStore, Monotonic, Store, TaskId, TokioClock};
use faas_workflow::builder::{Expression as E, WorkflowBuilder};
use faas_workflow::engine::core::ExecutionCore;
use faas_workflow::execution_store::mailbox::{Content, Letter, LetterId};
use faas_workflow::execution_store::{
    Append, EngineEvent, Epoch, OpenEpoch, Parent, StoredExecution, TransitionNumber,
};
use faas_workflow::program::{Beginning, DefinitionDigest, EventKind, ProgramEvent, TaskTarget};
use faas_workflow::registry::{Durability, WorkflowSettings};
use faas_workflow::scheduler::{
    CriticalPath, Eager, FairShare, PoolMember, Pools, PrewarmHorizon, ReadyTask, SchedulerChange,
    SchedulerContext,
};
use faas_workflow::{
    Definition, Ending, ExecutionHead, ExecutionStatus, HistoryQuery, HistoryRecord, Language,
    RegisterWorkflow, RustBuilder, Signal, StoreExecutionStore, StoreWorkflowRegistry, TaskError,
    WorkflowExecutionStore, WorkflowRegistry, WorkflowScheduler,
};
use jiff::Timestamp;
use serde_json::json;

const V1: &str = include_str!("golden/v1.txt");
const SPACES: [Space; 4] = [
    Space::unwatched("workflow-executions"),
    Space::watched("workflow-endings"),
    Space::watched("workflow-mail"),
    Space::watched("workflows"),
];
const ID: ExecutionId = ExecutionId::from_u128(7);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn definition() -> Definition {
    WorkflowBuilder::new()
        .task("first", "shop/check@prod", |task| {
            task.input(E::input("/order"))
        })
        .worker("pack", "packers", |task| task.after("first"))
        .signal("paid", "paid", |task| task.timeout(Duration::from_secs(60)))
        .output(E::result("pack", ""))
        .build()
        .unwrap()
}

fn head() -> ExecutionHead {
    let (name, workflow) = ("one".try_into().unwrap(), "shop/sell@1".parse().unwrap());
    let mut head = ExecutionHead::new(ID, name, workflow, Epoch(1));
    head.digest = definition().digest();
    head.parent = Some(Parent {
        execution: ExecutionId::from_u128(6),
        task: faas_workflow::program::TaskNumber(3),
        depth: 1,
    });
    head.settings = WorkflowSettings::new()
        .durability(Durability::Pipelined)
        .retention(Duration::from_secs(3600));
    (head.started, head.updated) = (at(1), at(1));
    head
}

fn event(kind: EventKind) -> EngineEvent {
    EngineEvent::Program(ProgramEvent {
        at: at(2),
        entropy: 5,
        kind,
    })
}

/// An execution, each of its transitions, and its state at the end.
fn execution() -> (ExecutionHead, Vec<Vec<EngineEvent>>, ExecutionCore) {
    let program = RustBuilder::default().compile(&definition()).unwrap();
    let input = json!({ "order": 4 }).into();
    let began = EngineEvent::Began(Beginning::of(&head(), 5, input));
    let (mut core, mut transitions) = (None::<ExecutionCore>, vec![vec![began.clone()]]);
    let restored = StoredExecution::new(head(), None, vec![began]);
    let mut live = ExecutionCore::restore(restored, program).unwrap();
    let mut apply = |event: EngineEvent| {
        live.apply(event.clone()).unwrap();
        transitions.push(vec![event]);
    };
    let task = faas_workflow::program::TaskNumber(1);
    let id = TaskId::from_u128(9);
    apply(EngineEvent::Started {
        task,
        id,
        at: at(2),
    });
    let result = Ok(json!("checked").into());
    apply(event(EventKind::TaskEnded { task, result }));
    apply(EngineEvent::Adopted { at: at(3) });
    let signal = Signal::new("thanks".parse().unwrap(), json!("you"));
    apply(event(EventKind::Signalled(signal)));
    core.replace(live);
    (head(), transitions, core.unwrap())
}

/// Fills a store as a release does.
async fn written() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let executions = StoreExecutionStore::new(store.clone());
    let epoch = executions.epochs().open(OpenEpoch::shared()).await.unwrap();
    executions.epochs().renew(epoch.epoch).await.unwrap();
    let (mut head, transitions, core) = execution();
    let mut before = None;
    let last = transitions.len() as u64;
    for (number, events) in (1..).zip(transitions) {
        head.transition = TransitionNumber(number);
        let mut append = Append::new(head.clone(), events);
        append.before = before;
        append.records = vec![HistoryRecord::new(
            number,
            at(2),
            "Test",
            json!({ "n": number }),
        )];
        append.due_set = (number == 1).then(|| at(61));
        append.snapshot = (number == last).then(|| core.save().unwrap());
        before = Some(head.standing());
        executions.append(append).await.unwrap();
    }
    let mut failed = head.clone();
    (failed.id, failed.name) = (ExecutionId::from_u128(8), "two".try_into().unwrap());
    failed.transition = TransitionNumber(1);
    failed.ending = Some(Ending::Failed(TaskError::new("Boom", "it broke")));
    executions
        .append(Append::new(failed, Vec::new()))
        .await
        .unwrap();
    let cause = "enough".to_owned();
    let kind = EventKind::CancelRequested { cause, error: None };
    let letter = Letter::new(LetterId::from(3), ID, Content::Event(kind));
    let mailbox = executions.mailbox().unwrap();
    assert!(futures::poll!(Box::pin(mailbox.send(letter))).is_pending());
    let clock = Arc::new(Fixed(TokioClock::new()));
    let registry = StoreWorkflowRegistry::new(store.clone(), clock);
    let (namespace, name) = ("shop".parse().unwrap(), "sell".parse().unwrap());
    let mut register = RegisterWorkflow::new(namespace, name, definition());
    register.settings = head.settings;
    registry.register(register).await.unwrap();
    store
}

/// A wall clock that stands still.
#[derive(Debug)]
struct Fixed(TokioClock);

impl faas_core::Clock for Fixed {
    fn now(&self) -> Monotonic {
        self.0.now()
    }
    fn wall(&self) -> Timestamp {
        at(0)
    }
    fn sleep_until(&self, deadline: Monotonic) -> futures::future::BoxFuture<'static, ()> {
        self.0.sleep_until(deadline)
    }
    fn hold(&self) -> faas_core::clock::Hold {
        self.0.hold()
    }
}

/// Each policy, fresh.
fn policies() -> [(&'static str, Box<dyn WorkflowScheduler>); 5] {
    let pools = Pools::new(Eager::new());
    let pools = pools.pool(
        PoolMember::Workflow("shop".parse().unwrap(), "sell".parse().unwrap()),
        1,
    );
    [
        ("eager", Box::new(Eager::new())),
        ("fair-share", Box::new(FairShare::new())),
        ("pools", Box::new(pools)),
        ("critical-path", Box::new(CriticalPath::new())),
        (
            "prewarm-horizon",
            Box::new(PrewarmHorizon::new(Eager::new())),
        ),
    ]
}

fn task(id: u128, label: &str) -> ReadyTask {
    ReadyTask {
        id: TaskId::from_u128(id),
        execution: ID,
        namespace: "shop".parse().unwrap(),
        workflow: "sell".parse().unwrap(),
        digest: DefinitionDigest::of(b"sell"),
        label: label.into(),
        target: TaskTarget::Function("shop/check@prod".parse().unwrap()),
        priority: 2,
        since: Monotonic::from_nanos(5),
    }
}

/// Lets a policy see a task that ended, one that runs and one that waits.
fn busy(policy: &mut dyn WorkflowScheduler) {
    let program = RustBuilder::default().compile(&definition()).unwrap();
    policy.observe(SchedulerChange::Workflow {
        digest: DefinitionDigest::of(b"sell"),
        outline: Arc::new(program.diagram().unwrap().outline()),
    });
    policy.observe(SchedulerChange::Started(task(8, "first")));
    policy.observe(SchedulerChange::Ended {
        task: TaskId::from_u128(8),
        took: Duration::from_secs(2),
        succeeded: true,
        cold: Some(Duration::from_secs(1)),
    });
    policy.observe(SchedulerChange::Started(task(9, "first")));
    policy.observe(SchedulerChange::Ready(task(10, "pack")));
    let now = Monotonic::from_nanos(7);
    policy.decide(&mut SchedulerContext::new(now, SeededRandom::new(1), 0));
}

async fn lines(store: &Arc<MemoryStore>) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    for space in SPACES {
        let page = store
            .scan(Scan::new(space.clone(), KeyRange::all()))
            .await
            .unwrap();
        for entry in page.entries {
            let key = entry.key.as_bytes().escape_ascii();
            let value = String::from_utf8(entry.value.to_vec()).unwrap();
            lines.insert(format!("{} {key}", space.name()), value);
        }
    }
    for (name, mut policy) in policies() {
        busy(&mut *policy);
        let saved = String::from_utf8(policy.save().unwrap().to_vec()).unwrap();
        lines.insert(format!("scheduler {name}"), saved);
    }
    lines
}

fn golden() -> BTreeMap<String, String> {
    let line = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let key = format!("{} {}", parts.next().unwrap(), parts.next().unwrap());
        (key, parts.next().unwrap_or_default().to_owned())
    };
    V1.lines().map(line).collect()
}

#[tokio::test]
async fn the_present_version_is_written_as_its_file_says() {
    let (written, golden) = (lines(&written().await).await, golden());
    for (key, value) in &written {
        assert_eq!(golden.get(key), Some(value), "{key}");
    }
    assert_eq!(written.len(), golden.len());
}

/// A store that holds what the file says.
async fn old() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    for (key, value) in golden() {
        let (space, key) = key.split_once(' ').unwrap();
        let Some(space) = SPACES.into_iter().find(|known| known.name() == space) else {
            continue;
        };
        let key = Key::from_bytes(key.replace("\\x00", "\0").into_bytes());
        let batch = Batch::new().put(space, key, value, Precondition::Absent);
        store.commit(batch).await.unwrap();
    }
    store
}

#[tokio::test]
async fn the_first_version_is_read_still() {
    let store = old().await;
    let executions = StoreExecutionStore::new(store.clone());
    let epochs = executions.epochs().list().await.unwrap();
    assert_eq!(
        (epochs.len(), epochs[0].epoch, epochs[0].renewals),
        (1, Epoch(1), 1)
    );
    let (mut expected, transitions, core) = execution();
    expected.transition = TransitionNumber(transitions.len() as u64);
    let stored = executions.load(ID).await.unwrap();
    assert_eq!(stored.head, expected);
    assert_eq!(stored.events, []);
    let program = RustBuilder::default().compile(&definition()).unwrap();
    let restored = ExecutionCore::restore(stored, program.clone()).unwrap();
    assert_eq!(restored.save().unwrap(), core.save().unwrap());
    let history = executions.history(HistoryQuery::new(ID)).await.unwrap();
    assert_eq!(history.records.len(), transitions.len());
    // Every event is read, too: without the snapshot the history leads to the same state.
    let gone = Key::new("s").child(ID.to_string());
    let gone = Batch::new().delete(SPACES[0].clone(), gone, Precondition::Present);
    store.commit(gone).await.unwrap();
    let replayed = executions.load(ID).await.unwrap();
    assert_eq!(replayed.events, transitions.concat());
    let replayed = ExecutionCore::restore(replayed, program).unwrap();
    assert_eq!(replayed.save().unwrap(), core.save().unwrap());
    let failed = executions.ended(ExecutionId::from_u128(8)).await.unwrap();
    assert_eq!(failed.status(), ExecutionStatus::Failed);
    let due = executions.due(at(61), 9).await.unwrap();
    assert_eq!((due.len(), due[0].execution), (1, ID));
    let retention = executions.retention().unwrap();
    assert_eq!(retention.expired(at(9999), 9).await.unwrap(), [failed.id]);
    let letters = executions.mailbox().unwrap().waiting(ID).await.unwrap();
    assert_eq!(letters[0].id, LetterId::from(3));
    let clock = Arc::new(TokioClock::new());
    let registry = StoreWorkflowRegistry::new(store, clock);
    let workflow = registry.get(&"shop/sell".parse().unwrap()).await.unwrap();
    assert_eq!(workflow.definition, definition());
    assert_eq!(workflow.info.settings, head().settings);
    for (name, mut policy) in policies() {
        let saved = golden().remove(&format!("scheduler {name}")).unwrap();
        policy.restore(saved.as_bytes()).unwrap();
        assert_eq!(policy.save().unwrap(), saved.as_bytes(), "{name}");
    }
}
