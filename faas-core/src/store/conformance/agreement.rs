//! A store against [`MemoryStore`], which itself is held against a naive model: what is done to
//! both at random comes to the same.

use std::collections::{BTreeSet, HashMap};

use super::{Fixture, commit, get, next, scan};
use crate::error::ErrorKind;
use crate::policy::SeededRandom;
use crate::store::{
    Batch, BatchOutcome, Change, Committed, Entry, Key, KeyRange, MemoryStore, Precondition,
    Revision, Scan, Space, Store, Version,
};

const SPACES: [Space; 3] = [
    Space::watched("agreement-a"),
    Space::watched("agreement-b"),
    Space::unwatched("agreement-c"),
];

/// Does `steps` things that `seed` chooses to the store and to a [`MemoryStore`]: batches with
/// every precondition, reads, scans, watches from any revision, compactions, outcomes.
///
/// # Panics
/// Where the two differ, other than by the numbers of their versions and revisions.
pub async fn agrees_with_memory(fixture: Fixture, seed: u64, steps: usize) {
    let mut pair = Pair {
        fixture,
        memory: MemoryStore::new(),
        random: SeededRandom::new(seed),
        versions: HashMap::new(),
        revisions: [const { Vec::new() }; 3],
        compacted: [0; 3],
        batches: Vec::new(),
    };
    for step in 0..steps {
        match pair.random.below(10) {
            0..5 => pair.commit().await,
            5 => pair.get().await,
            6..8 => pair.scan().await,
            8 => pair.watch().await,
            _ if step % 4 == 0 => pair.compact().await,
            _ => pair.outcome().await,
        }
    }
    pair.watch().await;
}

struct Pair {
    fixture: Fixture,
    memory: MemoryStore,
    random: SeededRandom,
    /// Every writing of a key: the memory's version, and the store's.
    versions: HashMap<(usize, Key), Vec<(Version, Version)>>,
    /// Every revision of a space, likewise, in order.
    revisions: [Vec<(Revision, Revision)>; 3],
    /// How many of them are compacted.
    compacted: [usize; 3],
    batches: Vec<(crate::store::BatchId, Option<Committed>)>,
}

impl Pair {
    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound as u64) as usize
    }

    /// Two keys under each of three prefixes.
    fn key(&mut self) -> Key {
        let number = self.below(6);
        Key::new(format!("p{}", number / 2)).child(format!("k{}", number % 2))
    }

    /// The same precondition for both: versions have other numbers.
    fn precondition(&mut self, space: usize, key: &Key) -> (Precondition, Precondition) {
        let same = |precondition: Precondition| (precondition.clone(), precondition);
        match self.below(8) {
            0..3 => same(Precondition::Any),
            3 => same(Precondition::Absent),
            4 => same(Precondition::Present),
            5 => same(Precondition::Value(vec![self.below(3) as u8].into())),
            _ => {
                let known = self.versions.get(&(space, key.clone())).cloned();
                let known = known.unwrap_or_default();
                // Most often the last one, which may be deleted.
                let back = self.below(2) * self.below(known.len().max(1));
                let version = known.len().checked_sub(1 + back).map(|at| known[at]);
                let none = Version(u64::MAX >> 1);
                let (memory, store) = version.unwrap_or((none, none));
                (Precondition::At(memory), Precondition::At(store))
            }
        }
    }

    async fn commit(&mut self) {
        let (mut memory, mut store) = (Batch::new(), Batch::new());
        let mut places = Vec::new();
        for _ in 0..1 + self.below(4) {
            let (at, key) = (self.below(3), self.key());
            let space = &SPACES[at];
            let (ours, theirs) = self.precondition(at, &key);
            let effect = self.below(6);
            let value = vec![self.below(3) as u8];
            for (batch, precondition) in [(&mut memory, ours), (&mut store, theirs)] {
                let (space, key) = (space.clone(), key.clone());
                let before = std::mem::take(batch);
                *batch = match effect {
                    0 => before.check(space, key, precondition),
                    1 | 2 => before.delete(space, key, precondition),
                    _ => before.put(space, key, value.clone(), precondition),
                };
            }
            places.push((at, key));
        }
        let what = format!("{store:?}");
        let id = store.id();
        let expected = self.memory.commit(memory).await;
        let done = super::within("commit", self.fixture.store.commit(store)).await;
        let (expected, done) = match (expected, done) {
            (Ok(expected), Ok(done)) => (expected, done),
            (Err(expected), Err(error)) => {
                assert_eq!(error.kind(), expected.kind(), "{what}: {error}");
                self.batches.push((id, None));
                return;
            }
            (expected, done) => panic!("{what}: {done:?} instead of {expected:?}"),
        };
        assert_eq!(done.versions.len(), places.len(), "{what}");
        for (place, versions) in places
            .into_iter()
            .zip(expected.versions.iter().zip(&done.versions))
        {
            match versions {
                (Some(memory), Some(store)) => {
                    self.versions
                        .entry(place)
                        .or_default()
                        .push((*memory, *store));
                }
                (memory, store) => assert_eq!(memory, store, "{what}"),
            }
        }
        for (at, space) in SPACES.iter().enumerate() {
            match (expected.revision(space), done.revision(space)) {
                (Some(memory), Some(store)) => self.revisions[at].push((memory, store)),
                (memory, store) => assert_eq!(memory, store, "{what}: {space:?}"),
            }
        }
        self.batches.push((id, Some(done)));
    }

    /// The store's entry must be the memory's.
    fn same_entry(&self, at: usize, ours: &Entry, theirs: &Entry) {
        assert_eq!((&theirs.key, &theirs.value), (&ours.key, &ours.value));
        let known = self.versions.get(&(at, ours.key.clone()));
        let pair = known.and_then(|known| known.iter().find(|(memory, _)| *memory == ours.version));
        assert_eq!(
            pair.map(|(_, store)| *store),
            Some(theirs.version),
            "{ours:?}"
        );
    }

    async fn get(&mut self) {
        let (at, key) = (self.below(3), self.key());
        let ours = get(&self.memory, &SPACES[at], &key).await;
        let theirs = get(&self.fixture.store, &SPACES[at], &key).await;
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => self.same_entry(at, &ours, &theirs),
            (ours, theirs) => assert_eq!(theirs, ours, "{key:?}"),
        }
    }

    async fn scan(&mut self) {
        let at = self.below(3);
        let start = self.key();
        let end = (self.below(2) == 0).then(|| self.key());
        let mut wanted = Scan::new(SPACES[at].clone(), KeyRange { start, end });
        wanted.limit = self.below(8);
        wanted.reverse = self.below(2) == 0;
        let ours = scan(&self.memory, wanted.clone()).await;
        let theirs = scan(&self.fixture.store, wanted.clone()).await;
        assert_eq!(theirs.entries.len(), ours.entries.len(), "{wanted:?}");
        assert_eq!(theirs.more, ours.more, "{wanted:?}");
        for (ours, theirs) in ours.entries.iter().zip(&theirs.entries) {
            self.same_entry(at, ours, theirs);
        }
        let last = self.revisions[at]
            .last()
            .map_or(Revision(0), |(_, store)| *store);
        assert_eq!(theirs.revision, last, "{wanted:?}");
    }

    async fn watch(&mut self) {
        let at = self.below(2);
        let Some((last, _)) = self.revisions[at].last().copied() else {
            return;
        };
        let from = self.below(self.revisions[at].len() + 1);
        let before = from.checked_sub(1).map(|before| self.revisions[at][before]);
        let (ours, theirs) = before.unwrap_or_default();
        let prefix = match self.below(2) {
            0 => Key::empty(),
            _ => Key::new(format!("p{}", self.below(3))),
        };
        let mut memory = self.memory.watch(&SPACES[at], prefix.clone(), ours);
        let mut store = self
            .fixture
            .store
            .watch(&SPACES[at], prefix.clone(), theirs);
        if from < self.compacted[at] {
            let error = next(&mut store).await.expect_err("it is compacted");
            assert_eq!(error.kind(), ErrorKind::Compacted, "{error}");
            return;
        }
        // A change behind all others under the prefix, so that both have an end.
        let end = prefix.child("end");
        let mark = || Batch::new().put(SPACES[at].clone(), end.clone(), "", Precondition::Any);
        let ours = commit(&self.memory, mark()).await;
        let theirs = commit(&self.fixture.store, mark()).await;
        let revision = |done: &Committed| done.revision(&SPACES[at]).expect("a watched space");
        self.revisions[at].push((revision(&ours), revision(&theirs)));
        let versions = (ours.versions[0], theirs.versions[0]);
        if let (Some(ours), Some(theirs)) = versions {
            self.versions
                .entry((at, end))
                .or_default()
                .push((ours, theirs));
        }
        let mut seen = BTreeSet::new();
        loop {
            let ours = next(&mut memory).await.expect("the watch goes on");
            let theirs = next(&mut store).await.expect("the watch goes on");
            self.same_change(at, &ours, &theirs);
            seen.insert(theirs.revision);
            if ours.revision > last {
                break;
            }
        }
        assert!(seen.len() <= self.revisions[at].len() - from);
    }

    fn same_change(&self, at: usize, ours: &Change, theirs: &Change) {
        let value = |change: &Change| change.value.as_ref().map(|(value, _)| value.clone());
        assert_eq!(theirs.key, ours.key);
        assert_eq!(value(theirs), value(ours), "{ours:?}");
        let pair = self.revisions[at]
            .iter()
            .find(|(memory, _)| *memory == ours.revision);
        assert_eq!(
            pair.map(|(_, store)| *store),
            Some(theirs.revision),
            "{ours:?}"
        );
    }

    async fn compact(&mut self) {
        let at = self.below(2);
        let count = self.revisions[at].len();
        if count == 0 {
            return;
        }
        let place = self.below(count);
        let Some(compact) = &self.fixture.compact else {
            return;
        };
        let (ours, theirs) = self.revisions[at][place];
        self.memory.compact(&SPACES[at], ours);
        compact(SPACES[at].clone(), theirs).await;
        self.compacted[at] = self.compacted[at].max(place + 1);
    }

    async fn outcome(&mut self) {
        if self.batches.is_empty() {
            return;
        }
        let place = self.below(self.batches.len());
        let (id, committed) = &self.batches[place];
        let outcome = super::within("outcome", self.fixture.store.outcome(*id)).await;
        let outcome = outcome.expect("a healthy store knows");
        match committed {
            Some(committed) => assert_eq!(outcome, BatchOutcome::Committed(committed.clone())),
            None => assert!(
                !matches!(outcome, BatchOutcome::Committed(_)),
                "{outcome:?}"
            ),
        }
    }
}
