//! [`MemoryStore`] against a naive model: random batches with preconditions, scans and watches come
//! to the same as a sorted list of keys and a list of changes that are walked from end to end.

use std::collections::BTreeMap;

use faas_core::ErrorKind;
use faas_core::store::batch::Effect;
use faas_core::store::{
    Batch, Change, Key, KeyRange, MemoryStore, Precondition, Revision, Scan, Space, Store, Version,
};
use futures::{FutureExt, StreamExt};
use proptest::prelude::*;

const SPACES: [Space; 3] = [
    Space::watched("a"),
    Space::watched("b"),
    Space::unwatched("c"),
];

/// A precondition as a test writes it down.
#[derive(Debug, Clone, Copy)]
enum Demand {
    Any,
    Absent,
    Present,
    /// The version as it is, or an older one of the key.
    At {
        current: bool,
    },
    Value(u8),
}

#[derive(Debug, Clone)]
struct Write {
    space: usize,
    key: u8,
    demand: Demand,
    /// `None` deletes, `Some(None)` only checks.
    effect: Option<Option<u8>>,
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Write>),
    Scan {
        space: usize,
        from: u8,
        to: Option<u8>,
        limit: usize,
        reverse: bool,
    },
    Watch {
        space: usize,
        prefix: Option<u8>,
        after: u64,
    },
    Compact {
        space: usize,
        revision: u64,
    },
}

fn write() -> impl Strategy<Value = Write> {
    let demand = prop_oneof![
        4 => Just(Demand::Any),
        2 => Just(Demand::Absent),
        1 => Just(Demand::Present),
        2 => any::<bool>().prop_map(|current| Demand::At { current }),
        1 => (0..3u8).prop_map(Demand::Value),
    ];
    let effect = prop_oneof![
        4 => (0..3u8).prop_map(|value| Some(Some(value))),
        2 => Just(None),
        1 => Just(Some(None)),
    ];
    (0..3usize, 0..6u8, demand, effect).prop_map(|(space, key, demand, effect)| Write {
        space,
        key,
        demand,
        effect,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(write(), 0..5).prop_map(Step::Commit),
        3 => (0..3usize, 0..7u8, prop::option::of(0..7u8), 0..8usize, any::<bool>()).prop_map(
            |(space, from, to, limit, reverse)| Step::Scan { space, from, to, limit, reverse }
        ),
        3 => (0..2usize, prop::option::of(0..6u8), 0..20u64)
            .prop_map(|(space, prefix, after)| Step::Watch { space, prefix, after }),
        1 => (0..2usize, 0..20u64).prop_map(|(space, revision)| Step::Compact { space, revision }),
    ]
}

/// Two keys under each of three prefixes.
fn key(number: u8) -> Key {
    Key::new([b'p', b'0' + number / 2]).child([b'k', b'0' + number % 2])
}

#[derive(Debug, Default)]
struct Model {
    entries: BTreeMap<(usize, Key), (u8, Version)>,
    /// Every version that a key ever had.
    versions: BTreeMap<(usize, Key), Vec<Version>>,
    changes: [Vec<(u64, Key, Option<u8>)>; 3],
    revisions: [u64; 3],
    compacted: [u64; 3],
}

impl Model {
    fn batch(&self, writes: &[Write]) -> Batch {
        writes.iter().fold(Batch::new(), |batch, write| {
            let (space, key) = (SPACES[write.space].clone(), key(write.key));
            let known = self.versions.get(&(write.space, key.clone()));
            let precondition = match write.demand {
                Demand::Any => Precondition::Any,
                Demand::Absent => Precondition::Absent,
                Demand::Present => Precondition::Present,
                Demand::Value(value) => Precondition::Value(vec![value].into()),
                Demand::At { current: true } => {
                    let last = known.and_then(|all| all.last());
                    Precondition::At(last.copied().unwrap_or(Version(0)))
                }
                Demand::At { current: false } => {
                    let first = known.and_then(|all| all.first());
                    Precondition::At(first.copied().unwrap_or(Version(0)))
                }
            };
            match write.effect {
                None => batch.delete(space, key, precondition),
                Some(None) => batch.check(space, key, precondition),
                Some(Some(value)) => batch.put(space, key, vec![value], precondition),
            }
        })
    }

    /// What the batch must be answered, and `Ok` if it must happen.
    fn judge(&self, writes: &[Write], batch: &Batch) -> Result<(), ErrorKind> {
        for (index, write) in writes.iter().enumerate() {
            let same = |other: &Write| (other.space, other.key) == (write.space, write.key);
            if writes[..index].iter().any(same) {
                return Err(ErrorKind::InvalidArgument);
            }
        }
        for (write, operation) in writes.iter().zip(batch.operations()) {
            let entry = self.entries.get(&(write.space, operation.key.clone()));
            let holds = match &operation.precondition {
                Precondition::Any => true,
                Precondition::Absent => entry.is_none(),
                Precondition::Present => entry.is_some(),
                Precondition::At(version) => entry.is_some_and(|(_, now)| now == version),
                Precondition::Value(value) => entry.is_some_and(|(now, _)| value[..] == [*now]),
                other => panic!("{other:?}"),
            };
            if !holds {
                return Err(ErrorKind::Conflict);
            }
        }
        Ok(())
    }

    fn apply(&mut self, writes: &[Write], versions: &[Option<Version>]) {
        let mut raised = [false; 3];
        for (write, version) in writes.iter().zip(versions) {
            let place = (write.space, key(write.key));
            match write.effect {
                Some(None) => continue,
                None if self.entries.remove(&place).is_none() => continue,
                None => {}
                Some(Some(value)) => {
                    let version = version.expect("a written key has a version");
                    let all = self.versions.entry(place.clone()).or_default();
                    assert!(!all.contains(&version), "{version:?} returned");
                    all.push(version);
                    self.entries.insert(place, (value, version));
                }
            }
            if !std::mem::replace(&mut raised[write.space], true) {
                self.revisions[write.space] += 1;
            }
            let change = (
                self.revisions[write.space],
                key(write.key),
                write.effect.flatten(),
            );
            self.changes[write.space].push(change);
        }
    }

    fn scan(&self, space: usize, range: &KeyRange, reverse: bool) -> Vec<(Key, u8, Version)> {
        let mut found: Vec<_> = self
            .entries
            .iter()
            .filter(|((place, key), _)| *place == space && range.contains(key))
            .map(|((_, key), (value, version))| (key.clone(), *value, *version))
            .collect();
        if reverse {
            found.reverse();
        }
        found
    }
}

fn check(store: &MemoryStore, model: &mut Model, step: Step) {
    match step {
        Step::Commit(writes) => check_commit(store, model, &writes),
        Step::Scan {
            space,
            from,
            to,
            limit,
            reverse,
        } => {
            let range = KeyRange {
                start: key(from),
                end: to.map(key),
            };
            let mut scan = Scan::new(SPACES[space].clone(), range.clone()).limit(limit);
            scan.reverse = reverse;
            let page = now(store.scan(scan)).expect("a scan succeeds");
            let expected = model.scan(space, &range, reverse);
            let shown: Vec<_> = page
                .entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value[0], entry.version))
                .collect();
            assert_eq!(shown, expected[..limit.min(expected.len())]);
            assert_eq!(page.more, expected.len() > limit);
            let revision = if SPACES[space].is_watched() {
                model.revisions[space]
            } else {
                0
            };
            assert_eq!(page.revision, Revision(revision));
        }
        Step::Watch {
            space,
            prefix,
            after,
        } => check_watch(store, model, space, prefix, after),
        Step::Compact { space, revision } => {
            store.compact(&SPACES[space], Revision(revision));
            let bounded = revision.min(model.revisions[space]);
            model.compacted[space] = model.compacted[space].max(bounded);
        }
    }
}

fn check_commit(store: &MemoryStore, model: &mut Model, writes: &[Write]) {
    let batch = model.batch(writes);
    let verdict = model.judge(writes, &batch);
    let effects = |batch: &Batch| {
        batch
            .operations()
            .iter()
            .filter(|o| o.effect != Effect::Check)
            .count()
    };
    let changes = effects(&batch);
    match (now(store.commit(batch)), verdict) {
        (Ok(committed), Ok(())) => {
            assert_eq!(committed.versions.len(), writes.len());
            assert!(committed.revisions.len() <= changes);
            let before = model.revisions;
            model.apply(writes, &committed.versions);
            for (space, name) in SPACES.iter().enumerate() {
                let raised = (name.is_watched() && before[space] < model.revisions[space])
                    .then_some(Revision(model.revisions[space]));
                assert_eq!(committed.revision(name), raised);
            }
        }
        (Err(error), Err(kind)) => assert_eq!(error.kind(), kind, "{error}"),
        (answer, verdict) => panic!("{answer:?}, but the model says {verdict:?}"),
    }
}

fn check_watch(store: &MemoryStore, model: &Model, space: usize, prefix: Option<u8>, after: u64) {
    let prefix = prefix.map_or(Key::empty(), |n| Key::new([b'p', b'0' + n / 2]));
    let mut changes = store.watch(&SPACES[space], prefix.clone(), Revision(after));
    let mut shown = Vec::new();
    while let Some(Some(change)) = changes.next().now_or_never() {
        match change {
            Ok(Change {
                revision,
                key,
                value,
            }) => {
                shown.push((revision.0, key, value.map(|(value, _)| value[0])));
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Compacted, "{error}");
                assert!(after < model.compacted[space], "{error}");
                return;
            }
        }
    }
    assert!(after >= model.compacted[space], "it should say `Compacted`");
    let expected: Vec<_> = model.changes[space]
        .iter()
        .filter(|(revision, key, _)| *revision > after && key.starts_with(&prefix))
        .cloned()
        .collect();
    assert_eq!(shown, expected);
}

/// The memory store never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("it answers at once")
}

proptest! {
    #[test]
    fn does_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let (store, mut model) = (MemoryStore::new(), Model::default());
        for step in steps {
            check(&store, &mut model, step);
        }
    }
}

#[test]
fn old_changes_leave_by_count_and_by_size_a_whole_commit_at_a_time() {
    let store = MemoryStore::new();
    let space = &SPACES[0];
    let large = vec![0u8; 15 << 20];
    for round in 0..5u8 {
        let batch = Batch::new()
            .put(space.clone(), key(0), large.clone(), Precondition::Any)
            .put(space.clone(), key(1), vec![round], Precondition::Any);
        now(store.commit(batch)).expect("it fits");
    }
    let first = |after| {
        store
            .watch(space, Key::empty(), Revision(after))
            .next()
            .now_or_never()
    };
    let gone = first(0)
        .flatten()
        .expect("an answer")
        .expect_err("75 MiB are too much");
    assert_eq!(gone.kind(), ErrorKind::Compacted);
    let kept = first(1).flatten().expect("an answer").expect("it is kept");
    assert_eq!((kept.revision, kept.key), (Revision(2), key(0)));
}
