//! What was heard and seen from outside, and what must follow from it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a victim says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Line {
    /// What it found: the newest revision of a function.
    FoundFunction { name: String, revision: u64 },
    /// What it found: where an alias points.
    FoundAlias { revision: u64 },
    /// What it was told in an earlier life and found is said; it works from here on.
    Ready,
    /// A revision was acknowledged.
    Deployed { name: String, revision: u64 },
    /// An alias is about to be moved there.
    Moving { revision: u64 },
    /// It was.
    Moved { revision: u64 },
    /// An asynchronous invocation with that key was acknowledged.
    Queued { key: String },
    /// The start of an execution was acknowledged.
    Started { name: String },
    /// The last life: an execution succeeded with the right output.
    Finished { name: String },
    /// The last life: a program that must have one instance has so many.
    Instances { count: usize },
}

/// What a life found at its beginning.
#[derive(Debug, Default)]
struct Found {
    functions: BTreeMap<String, u64>,
    alias: Option<u64>,
    ready: bool,
}

/// What the parent knows.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    found: Found,
    /// The newest revision acknowledged in earlier lives, and in this one.
    deployed: BTreeMap<String, u64>,
    deployed_now: BTreeMap<String, u64>,
    /// Where the alias may point: the last acknowledged, and what was tried after it.
    alias: BTreeSet<u64>,
    alias_now: BTreeSet<u64>,
    queued: BTreeSet<String>,
    started: BTreeSet<String>,
    finished: BTreeSet<String>,
    instances: Option<usize>,
    lives: usize,
}

/// The file in which functions write down what they do.
pub(crate) fn deeds(directory: &Path) -> PathBuf {
    directory.join("deeds")
}

/// The file that tells the last life what was acknowledged.
pub(crate) fn promises(directory: &Path) -> PathBuf {
    directory.join("promises")
}

impl Journal {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            found: Found::default(),
            deployed: BTreeMap::new(),
            deployed_now: BTreeMap::new(),
            alias: BTreeSet::new(),
            alias_now: BTreeSet::new(),
            queued: BTreeSet::new(),
            started: BTreeSet::new(),
            finished: BTreeSet::new(),
            instances: None,
            lives: 0,
        }
    }

    pub(crate) fn hear(&mut self, line: Line) {
        match line {
            Line::FoundFunction { name, revision } => {
                self.found.functions.insert(name, revision);
            }
            Line::FoundAlias { revision } => self.found.alias = Some(revision),
            Line::Ready => self.found.ready = true,
            Line::Deployed { name, revision } => {
                let before = self.deployed_now.get(&name).or(self.deployed.get(&name));
                let rises = before.is_none_or(|before| revision > *before);
                assert!(rises, "revision {revision} of {name} came after {before:?}");
                self.deployed_now.insert(name, revision);
            }
            Line::Moving { revision } => {
                self.alias_now.insert(revision);
            }
            Line::Moved { revision } => {
                (self.alias, self.alias_now) = (BTreeSet::new(), BTreeSet::from([revision]));
            }
            Line::Queued { key } => assert!(self.queued.insert(key), "an id came twice"),
            Line::Started { name } => assert!(self.started.insert(name), "a name came twice"),
            Line::Finished { name } => {
                self.finished.insert(name);
            }
            Line::Instances { count } => self.instances = Some(count),
        }
    }

    /// Compares what a life found with what was acknowledged before it.
    pub(crate) fn check_life(&mut self) {
        let found = std::mem::take(&mut self.found);
        if found.ready {
            self.lives += 1;
            for (name, revision) in &self.deployed {
                let newest = found.functions.get(name).copied().unwrap_or(0);
                assert!(
                    newest >= *revision,
                    "{name} is at {newest}, acknowledged was {revision}"
                );
            }
            let heard: BTreeSet<_> = self.alias.union(&self.alias_now).copied().collect();
            // What this life moved is among them; what it found was before that.
            if !self.alias.is_empty() {
                let alias = found.alias.expect("an acknowledged alias is gone");
                assert!(
                    heard.contains(&alias),
                    "the alias points to {alias}, not to one of {heard:?}"
                );
            }
        }
        self.deployed.append(&mut self.deployed_now);
        self.alias.append(&mut self.alias_now);
        self.check_deeds();
    }

    /// Once the next step of an execution began, the result of the one before it was recorded: it
    /// never begins again.
    fn check_deeds(&self) {
        let mut reached: HashMap<&str, u64> = HashMap::new();
        let deeds = std::fs::read_to_string(deeds(&self.directory)).unwrap_or_default();
        for line in deeds.lines() {
            let Some(task) = line.strip_prefix("task ") else {
                continue;
            };
            let (execution, step) = task.split_once(' ').expect("an execution and a step");
            let step: u64 = step.parse().expect("a number");
            let last = reached.entry(execution).or_insert(step);
            assert!(
                step >= *last,
                "step {step} of {execution} ran again after step {last} had begun"
            );
            *last = step;
        }
    }

    /// Tells the last life what was promised.
    pub(crate) fn leave_for_the_last(&self) {
        let executions = self
            .started
            .iter()
            .map(|name| format!("execution {name}\n"));
        let invocations = self.queued.iter().map(|key| format!("invocation {key}\n"));
        let all: String = executions.chain(invocations).collect();
        std::fs::write(promises(&self.directory), all).expect("written");
    }

    /// All that was acknowledged has happened.
    pub(crate) fn check_end(&self) {
        let lost: Vec<_> = self.started.difference(&self.finished).collect();
        assert!(lost.is_empty(), "executions are lost: {lost:?}");
        let deeds = std::fs::read_to_string(deeds(&self.directory)).expect("deeds");
        let ran = deeds.lines().filter_map(|line| line.strip_prefix("note "));
        let ran: BTreeSet<_> = ran.map(str::to_owned).collect();
        let lost: Vec<_> = self.queued.difference(&ran).collect();
        assert!(
            lost.is_empty(),
            "asynchronous invocations are lost: {lost:?}"
        );
        assert_eq!(
            self.instances,
            Some(1),
            "instances of a program that must have one"
        );
        assert!(self.lives > 0 && !self.queued.is_empty() && !self.started.is_empty());
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "{} lives found all; {} executions, {} asynchronous invocations, revisions {:?}",
            self.lives,
            self.started.len(),
            self.queued.len(),
            self.deployed
        )
    }
}

/// The checks catch what they are for.
mod checks {
    use super::*;

    fn journal() -> (tempfile::TempDir, Journal) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut journal = Journal::new(directory.path());
        let name = "a".to_owned();
        journal.hear(Line::Ready);
        journal.hear(Line::Deployed { name, revision: 5 });
        journal.hear(Line::Moving { revision: 5 });
        journal.hear(Line::Moved { revision: 5 });
        journal.hear(Line::Moving { revision: 6 });
        journal.check_life();
        (directory, journal)
    }

    fn next_life(journal: &mut Journal, revision: u64, alias: u64) {
        let name = "a".to_owned();
        journal.hear(Line::FoundFunction { name, revision });
        journal.hear(Line::FoundAlias { revision: alias });
        journal.hear(Line::Ready);
        journal.check_life();
    }

    #[test]
    fn what_is_as_it_was_passes() {
        next_life(&mut journal().1, 5, 5);
        next_life(&mut journal().1, 6, 6);
    }

    #[test]
    #[should_panic(expected = "acknowledged was 5")]
    fn a_lost_revision_is_caught() {
        next_life(&mut journal().1, 4, 5);
    }

    #[test]
    #[should_panic(expected = "the alias points to 4")]
    fn an_alias_that_went_back_is_caught() {
        next_life(&mut journal().1, 5, 4);
    }

    #[test]
    #[should_panic(expected = "came after Some(5)")]
    fn a_revision_that_returns_is_caught() {
        let name = "a".to_owned();
        journal().1.hear(Line::Deployed { name, revision: 5 });
    }

    #[test]
    #[should_panic(expected = "ran again")]
    fn a_task_that_ran_again_is_caught() {
        let (directory, mut journal) = journal();
        let done = "task e 0\ntask e 1\ntask e 0\n";
        std::fs::write(deeds(directory.path()), done).expect("written");
        journal.check_life();
    }

    #[test]
    #[should_panic(expected = "asynchronous invocations are lost")]
    fn a_lost_invocation_is_caught() {
        let (directory, mut journal) = journal();
        std::fs::write(deeds(directory.path()), "note 1\n").expect("written");
        for key in ["1", "2"].map(str::to_owned) {
            journal.hear(Line::Queued { key });
        }
        journal.check_end();
    }
}
