//! Looks at what is stored after a kill, and compares it with what was acknowledged.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_workflow::engine::core::ExecutionCore;
use faas_workflow::execution_store::{EngineEvent, ExecutionFilter, StoredExecution};
use faas_workflow::program::{EventKind, Program};
use faas_workflow::{
    Ending, ExecutionHead, ExecutionStatus, StoreExecutionStore, WorkflowExecutionStore,
};

use crate::child;
use crate::work::{WORKFLOWS, executions, expected, lines, name, program};

/// How often a child was started.
pub(crate) fn rounds(directory: &Path) -> usize {
    lines(directory.join("rounds")).len()
}

/// Remembers across kills what must not be undone.
pub(crate) struct Judge {
    directory: PathBuf,
    runtime: tokio::runtime::Runtime,
    programs: HashMap<&'static str, Arc<dyn Program>>,
    /// The keys of the tasks whose result was stored, when it was looked last.
    results: HashSet<String>,
    /// What was found; what has ended is not read again.
    found: BTreeMap<String, StoredExecution>,
    /// How many calls had been made by then.
    calls: usize,
    repeated: usize,
}

impl Judge {
    pub(crate) fn new(directory: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self {
            directory: directory.to_owned(),
            runtime: runtime.unwrap(),
            programs: WORKFLOWS.map(|(name, _)| (name, program(name))).into(),
            results: HashSet::new(),
            found: BTreeMap::new(),
            calls: 0,
            repeated: 0,
        }
    }

    /// Looks at the store and at the memories.
    pub(crate) fn look(&mut self) {
        if !self.directory.join("store.db").exists() {
            return;
        }
        self.no_result_runs_again();
        let mut known = std::mem::take(&mut self.found);
        let changed = self.runtime.block_on(found(&self.directory, &known));
        let keys = changed.values().flat_map(|one| self.keys_with_results(one));
        let keys: Vec<_> = keys.collect();
        self.results.extend(keys);
        known.extend(changed);
        self.acknowledged(&known);
        self.found = known;
    }

    /// What was called since the last look had no stored result then.
    fn no_result_runs_again(&mut self) {
        let calls = lines(self.directory.join("calls"));
        let mut seen: HashMap<&String, usize> = HashMap::new();
        for call in &calls {
            *seen.entry(call).or_default() += 1;
        }
        self.repeated = seen.values().filter(|times| **times > 1).count();
        for call in &calls[self.calls..] {
            assert!(
                !self.results.contains(call),
                "{call} ran again after its result was stored"
            );
        }
        self.calls = calls.len();
    }

    /// Replays an execution; answers the idempotency keys of the tasks that have a result.
    fn keys_with_results(&self, stored: &StoredExecution) -> Vec<String> {
        let head = stored.head.clone();
        let program = &self.programs[head.workflow.name.as_str()];
        let (id, mut open) = (head.id, head);
        open.ending = None;
        assert!(stored.snapshot.is_none(), "the histories are short");
        let nothing = StoredExecution::new(open, None, stored.events[..1].to_vec());
        let mut core = ExecutionCore::restore(nothing, program.clone()).unwrap();
        let mut keys = Vec::new();
        for event in &stored.events[1..] {
            if let EngineEvent::Program(event) = event
                && let EventKind::TaskEnded { task, .. } = &event.kind
            {
                let running = core
                    .running_task(*task)
                    .expect("a result of a task that runs");
                keys.push(format!("{id}/{}", running.request.key));
            }
            core.apply(event.clone()).unwrap();
        }
        keys
    }

    /// What was acknowledged is stored, and every end is the right one.
    fn acknowledged(&self, found: &BTreeMap<String, StoredExecution>) {
        for line in lines(self.directory.join("acknowledged")) {
            let mut parts = line.splitn(3, ' ');
            let (what, number) = (parts.next().unwrap(), parts.next().unwrap());
            let number: u64 = number.parse().unwrap();
            let said = parts.next().unwrap();
            let stored = found
                .get(&name(number))
                .expect("what was acknowledged is there");
            match what {
                "started" => assert_eq!(stored.head.id.to_string(), said),
                "ended" => {
                    let ending: Option<Ending> = serde_json::from_str(said).unwrap();
                    assert_eq!(stored.head.ending, ending, "{number}");
                }
                other => panic!("{other}"),
            }
        }
        for stored in found.values() {
            if let Some(ending) = &stored.head.ending {
                let number: u64 = stored.head.name.as_str()[10..].parse().unwrap();
                assert_eq!(
                    *ending,
                    Ending::Succeeded(expected(number).into()),
                    "{number}"
                );
            }
        }
    }

    /// After the last child, which was not killed: everything has ended.
    pub(crate) fn verdict(&self) -> String {
        let found = &self.found;
        assert_eq!(found.len() as u64, executions());
        let ended = found
            .values()
            .filter(|stored| stored.head.status().is_ended());
        assert_eq!(ended.count() as u64, executions());
        let (calls, repeated) = (self.calls, self.repeated);
        format!(
            "{} executions, {calls} calls, {repeated} of them repeated",
            found.len()
        )
    }
}

/// All executions that had not ended when they were looked at last, by name.
async fn found(
    directory: &Path,
    known: &BTreeMap<String, StoredExecution>,
) -> BTreeMap<String, StoredExecution> {
    let store = StoreExecutionStore::new(child::store(directory).await);
    let mut found = BTreeMap::new();
    for status in [
        ExecutionStatus::Running,
        ExecutionStatus::Succeeded,
        ExecutionStatus::Failed,
    ] {
        let mut filter = ExecutionFilter::new(status);
        loop {
            let page = store.list(filter.clone()).await.unwrap();
            for head in page.executions {
                let ExecutionHead { id, name, .. } = head;
                let before = known.get(name.as_str());
                if before.is_none_or(|before| !before.head.status().is_ended()) {
                    found.insert(name.to_string(), store.load(id).await.unwrap());
                }
            }
            filter.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
    }
    found
}
