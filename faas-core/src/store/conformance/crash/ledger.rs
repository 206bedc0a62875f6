//! What the parent has heard, and what must follow from it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Lives;
use super::journal::{Came, KEPT, Line, Question, WRITERS};

/// What was heard of a batch.
#[derive(Debug, Clone, Copy)]
struct Tried {
    writer: u64,
    number: u64,
    fate: Fate,
    /// The revision at which a watch showed it.
    seen: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unheard,
    Done { version: u64, revision: u64 },
    Refused,
}

/// What a new life has found.
#[derive(Debug, Default)]
struct Found {
    /// By key: the value and the version.
    unwatched: BTreeMap<String, (String, u64)>,
    watched: BTreeMap<String, (String, u64)>,
    /// The batch that each revision shows; `None` for a marker.
    changes: Vec<(u64, BTreeMap<String, Option<String>>)>,
    outcomes: HashMap<String, Came>,
    revision: u64,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    tried: HashMap<String, Tried>,
    /// How far each writer had come at the last look.
    counters: BTreeMap<u64, u64>,
    /// The batch that each version belongs to.
    versions: HashMap<u64, String>,
    /// The revision at the last look.
    revision: u64,
    found: Found,
    pub(super) lives: Lives,
}

impl Ledger {
    pub(super) fn question(&mut self) -> Question {
        self.found = Found::default();
        let batches = self.tried.iter();
        let unheard = batches.filter(|(_, tried)| tried.fate == Fate::Unheard);
        Question {
            after: self.revision,
            batches: unheard.map(|(id, _)| id.clone()).collect(),
        }
    }

    pub(super) fn hear(&mut self, line: Line) {
        let found = &mut self.found;
        match line {
            Line::Entry {
                watched,
                key,
                value,
                version,
            } => {
                let space = match watched {
                    true => &mut found.watched,
                    false => &mut found.unwatched,
                };
                space.insert(key, (value, version));
            }
            Line::Change {
                revision,
                key,
                value,
            } => {
                if found
                    .changes
                    .last()
                    .is_none_or(|(last, _)| *last != revision)
                {
                    found.changes.push((revision, BTreeMap::new()));
                }
                if let Some((_, changes)) = found.changes.last_mut() {
                    let twice = changes.insert(key, value).is_some();
                    assert!(!twice, "revision {revision} tells of a key twice");
                }
            }
            Line::Revision(revision) => found.revision = revision,
            Line::Outcome { id, came } => {
                found.outcomes.insert(id, came);
            }
            Line::Ready => {}
            Line::Try { id, writer, number } => {
                let tried = Tried {
                    writer,
                    number,
                    fate: Fate::Unheard,
                    seen: None,
                };
                self.tried.insert(id, tried);
            }
            Line::Done {
                id,
                version,
                revision,
            } => {
                self.lives.acknowledged += 1;
                self.of(&id).fate = Fate::Done { version, revision };
            }
            Line::Refused { id } => self.of(&id).fate = Fate::Refused,
            Line::Saw { id, revision } => self.of(&id).seen = Some(revision),
        }
    }

    fn of(&mut self, id: &str) -> &mut Tried {
        let tried = self.tried.get_mut(id);
        tried.unwrap_or_else(|| panic!("batch {id} was never submitted"))
    }

    /// Compares what was found with what was heard; then begins anew from what was found.
    pub(super) fn check(&mut self) {
        let happened = self.check_changes();
        self.check_tried(&happened);
        self.check_counters(&happened);
        self.check_events(&happened);
        self.check_pair();
        self.revision = self.found.revision;
        self.tried.clear();
    }

    /// The batches that the changes since the last look tell of, and their revisions.
    fn check_changes(&mut self) -> HashMap<String, u64> {
        let now = self.found.revision;
        let mut happened = HashMap::new();
        let mut last = self.revision;
        for (revision, changes) in std::mem::take(&mut self.found.changes) {
            assert!(revision > last, "revision {revision} comes after {last}");
            last = revision;
            if changes.contains_key("marker") {
                continue;
            }
            let id = changes.get("left").cloned().flatten();
            let id = id.unwrap_or_else(|| panic!("half a batch: {changes:?}"));
            let Tried { writer, number, .. } = *self.of(&id);
            let mut whole = BTreeMap::from([
                (format!("event/{writer}/{number}"), Some(id.clone())),
                ("left".into(), Some(id.clone())),
                ("right".into(), Some(id.clone())),
            ]);
            if let Some(old) = number.checked_sub(KEPT).filter(|old| *old > 0) {
                whole.insert(format!("event/{writer}/{old}"), None);
            }
            assert_eq!(changes, whole, "batch {id} is not whole");
            let twice = happened.insert(id, revision);
            assert_eq!(twice, None, "a batch happened twice");
        }
        assert_eq!(last, now, "a watch and a scan differ");
        happened
    }

    /// Each counter stands where the batches that happened brought it.
    fn check_counters(&mut self, happened: &HashMap<String, u64>) {
        let mut numbers: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for id in happened.keys() {
            let Tried { writer, number, .. } = self.tried[id];
            let new = numbers.entry(writer).or_default().insert(number);
            assert!(new, "step {number} of writer {writer} happened twice");
        }
        for writer in 0..WRITERS {
            let counter = self.counters.entry(writer).or_default();
            for number in numbers.remove(&writer).unwrap_or_default() {
                assert_eq!(number, *counter + 1, "a step of writer {writer} is missing");
                *counter = number;
            }
            let shown = self.found.unwatched.get(&format!("counter/{writer}"));
            let shown = shown.and_then(|(value, _)| value.split(' ').next());
            let shown = shown.map_or(0, |number| number.parse().expect("a number"));
            assert_eq!(shown, *counter, "the counter of writer {writer}");
        }
    }

    /// The last events of each writer are there, and no others.
    fn check_events(&mut self, happened: &HashMap<String, u64>) {
        let mut expected = BTreeSet::from(["marker".to_owned()]);
        for (writer, counter) in &self.counters {
            let first = (counter + 1).saturating_sub(KEPT).max(1);
            expected.extend((first..=*counter).map(|n| format!("event/{writer}/{n}")));
            if *counter > 0 {
                expected.extend(["left".to_owned(), "right".to_owned()]);
            }
        }
        let there: BTreeSet<_> = self.found.watched.keys().cloned().collect();
        assert_eq!(there, expected, "the entries");
        for (key, (id, version)) in &self.found.watched {
            if key == "marker" {
                continue;
            }
            let of = self.versions.entry(*version).or_insert_with(|| id.clone());
            assert_eq!(of, id, "version {version} returned, at {key}");
            if key.starts_with("event/")
                && happened.contains_key(id)
                && let Fate::Done { version: told, .. } = self.tried[id].fate
            {
                assert_eq!(*version, told, "the version of {key} is not the one told");
            }
        }
    }

    /// Both halves of the pair are the last batch's.
    fn check_pair(&self) {
        let half = |key| self.found.watched.get(key).map(|(id, _)| id);
        assert_eq!(half("left"), half("right"), "half a batch");
    }

    fn check_tried(&mut self, happened: &HashMap<String, u64>) {
        for (id, tried) in &self.tried {
            let at = happened.get(id).copied();
            match tried.fate {
                Fate::Done { revision, .. } => {
                    assert_eq!(at, Some(revision), "acknowledged batch {id}: {tried:?}");
                }
                Fate::Refused => assert_eq!(at, None, "refused batch {id} happened"),
                Fate::Unheard => {
                    let came = self.found.outcomes.get(id).copied();
                    let came = came.unwrap_or(Came::Unknown);
                    match at {
                        Some(_) => assert_eq!(came, Came::Committed, "batch {id} happened"),
                        None => assert_ne!(came, Came::Committed, "batch {id} did not happen"),
                    }
                    match at {
                        Some(_) => self.lives.happened_unheard += 1,
                        None => self.lives.lost_unheard += 1,
                    }
                }
            }
            if let Some(seen) = tried.seen {
                assert_eq!(at, Some(seen), "a watch showed batch {id}, and it is gone");
            }
        }
    }
}
