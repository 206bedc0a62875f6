//! `StoreMetadata` against a plain map: whatever is done to both, both answer the same, and the
//! watch tells the whole story.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_core::store::MemoryStore;
use faas_core::{AliasName, ErrorKind, HandlerName, RevisionNumber, RuntimeName};
use faas_function::MetadataStore;
use faas_function::registry::{
    Alias, AliasChange, FunctionConfig, FunctionId, FunctionRecord, Generation, RegistryEvent,
    StoreMetadata,
};
use faas_resource::Executable;
use futures::StreamExt;
use proptest::prelude::*;

const NAMES: [&str; 4] = ["a/f", "a/f-1", "a/g", "b/f"];

/// What is done to a function; what it expects is a generation that was seen so long ago.
#[derive(Debug, Clone)]
enum Op {
    Create(u32),
    Update(u32, Option<usize>),
    Set(u8, BTreeMap<u64, u32>, Option<usize>),
    Remove(u8, Option<usize>),
    Delete(Option<usize>),
}

fn ops() -> impl Strategy<Value = Vec<(usize, Op)>> {
    let expected = || prop::option::of(0_usize..3);
    let weights = prop::collection::btree_map(1_u64..6, 0_u32..3, 0..3);
    let op = prop_oneof![
        // Of which none is refused: it would hold no invocation at once.
        (0_u32..4).prop_map(Op::Create),
        (0_u32..4, expected()).prop_map(|(c, e)| Op::Update(c, e)),
        (0_u8..2, weights, expected()).prop_map(|(a, w, e)| Op::Set(a, w, e)),
        (0_u8..2, expected()).prop_map(|(a, e)| Op::Remove(a, e)),
        expected().prop_map(Op::Delete),
    ];
    prop::collection::vec((0..NAMES.len(), op), 1..60)
}

fn config(concurrency: u32) -> FunctionConfig {
    let runtime = RuntimeName::new("handler").expect("a name");
    let handler = HandlerName::new("h").expect("a name");
    let mut config = FunctionConfig::new(runtime, Executable::Handler(handler));
    config.concurrency = concurrency;
    config
}

fn function(index: usize) -> FunctionId {
    NAMES[index].parse().expect("a function")
}

fn alias(which: u8) -> AliasName {
    AliasName::new(["live", "beta"][usize::from(which)]).expect("a name")
}

/// What a plain map knows of a function.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    revisions: BTreeMap<u64, u32>,
    aliases: BTreeMap<AliasName, BTreeMap<RevisionNumber, u32>>,
}

impl Known {
    fn of(record: &FunctionRecord) -> (u64, u32, BTreeMap<AliasName, Alias>) {
        let latest = &record.latest;
        let concurrency = latest.config.concurrency;
        (latest.number.0, concurrency, record.aliases.clone())
    }

    fn latest(&self) -> (u64, u32) {
        let (number, concurrency) = self.revisions.last_key_value().expect("there is one");
        (*number, *concurrency)
    }

    fn matches(&self, record: &FunctionRecord) -> bool {
        let (number, concurrency, aliases) = Self::of(record);
        let weights = aliases
            .into_iter()
            .map(|(name, alias)| (name, alias.weights));
        (number, concurrency) == self.latest()
            && weights.collect::<BTreeMap<_, _>>() == self.aliases
    }
}

#[derive(Default)]
struct Model {
    functions: BTreeMap<FunctionId, Known>,
    /// The highest number that was ever given.
    highest: BTreeMap<FunctionId, u64>,
    /// The generations of each function since its creation, the newest last.
    generations: BTreeMap<FunctionId, Vec<Generation>>,
}

impl Model {
    /// What an operation that expects a generation must expect, and whether that is the present one.
    fn expected(&self, id: &FunctionId, back: Option<usize>) -> (Option<Generation>, bool) {
        let Some(back) = back else {
            return (None, true);
        };
        let seen = self.generations.get(id).map_or(&[][..], Vec::as_slice);
        let index = seen.len().checked_sub(back + 1);
        let generation = index.and_then(|index| seen.get(index)).copied();
        (
            generation.or(Some(Generation(u64::MAX))),
            generation.is_some() && back == 0,
        )
    }

    fn next(&mut self, id: &FunctionId) -> u64 {
        let highest = self.highest.entry(id.clone()).or_default();
        *highest += 1;
        *highest
    }

    /// The kind of error that must be answered, if any.
    fn apply(&mut self, id: &FunctionId, op: &Op) -> Result<(), ErrorKind> {
        if let Op::Create(concurrency) | Op::Update(concurrency, _) = op
            && *concurrency == 0
        {
            return Err(ErrorKind::InvalidArgument);
        }
        if let Op::Create(concurrency) = op {
            if self.functions.contains_key(id) {
                return Err(ErrorKind::AlreadyExists);
            }
            let number = self.next(id);
            let known = Known {
                revisions: [(number, *concurrency)].into(),
                aliases: BTreeMap::new(),
            };
            self.functions.insert(id.clone(), known);
            return Ok(());
        }
        if !self.functions.contains_key(id) {
            return Err(ErrorKind::NotFound);
        }
        let (Op::Update(_, back) | Op::Set(_, _, back) | Op::Remove(_, back) | Op::Delete(back)) =
            op
        else {
            return Ok(());
        };
        if !self.expected(id, *back).1 {
            return Err(ErrorKind::Conflict);
        }
        let number = matches!(op, Op::Update(..)).then(|| self.next(id));
        let known = self.functions.get_mut(id).expect("it is there");
        match op {
            Op::Update(concurrency, _) => {
                known
                    .revisions
                    .extend(number.map(|number| (number, *concurrency)));
            }
            Op::Set(name, weights, _) => {
                let there = weights.keys().all(|n| known.revisions.contains_key(n));
                if !there || weights.values().all(|weight| *weight == 0) {
                    return Err(ErrorKind::InvalidArgument);
                }
                let weights = weights.iter().map(|(n, w)| (RevisionNumber(*n), *w));
                known.aliases.insert(alias(*name), weights.collect());
            }
            Op::Remove(name, _) => {
                known
                    .aliases
                    .remove(&alias(*name))
                    .ok_or(ErrorKind::NotFound)?;
            }
            Op::Delete(_) => drop(self.functions.remove(id)),
            Op::Create(_) => {}
        }
        Ok(())
    }
}

async fn run(
    store: &StoreMetadata,
    model: &Model,
    id: &FunctionId,
    op: &Op,
) -> faas_core::Result<Option<Arc<FunctionRecord>>> {
    match op {
        Op::Create(c) => store.create(id.clone(), config(*c)).await.map(Some),
        Op::Update(c, back) => {
            let expected = model.expected(id, *back).0;
            store.update(id, config(*c), expected).await.map(Some)
        }
        Op::Set(name, weights, back) => {
            let expected = model.expected(id, *back).0;
            let weights = weights.iter().map(|(n, w)| (RevisionNumber(*n), *w));
            let name = alias(*name);
            let weights = weights.collect();
            let change = AliasChange::Set(Alias { name, weights });
            store.set_alias(id, change, expected).await.map(Some)
        }
        Op::Remove(name, back) => {
            let expected = model.expected(id, *back).0;
            let change = AliasChange::Remove(alias(*name));
            store.set_alias(id, change, expected).await.map(Some)
        }
        Op::Delete(back) => {
            let expected = model.expected(id, *back).0;
            store.delete(id, expected).await.map(|()| None)
        }
    }
}

async fn same_state(store: &StoreMetadata, model: &Model) {
    let (records, _) = store.list(None).await.expect("a list");
    let names: Vec<_> = records.iter().map(|r| r.function.clone()).collect();
    assert_eq!(names, model.functions.keys().cloned().collect::<Vec<_>>());
    for (id, known) in &model.functions {
        let record = store.get(id).await.expect("it is there");
        assert!(known.matches(&record), "{record:?} is not {known:?}");
        for number in 0..=model.highest[id] + 1 {
            let revision = store.revision(id, RevisionNumber(number)).await.ok();
            let concurrency = revision.map(|revision| revision.config.concurrency);
            assert_eq!(concurrency, known.revisions.get(&number).copied());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn the_registry_is_a_map_with_a_history(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let store = StoreMetadata::new(Arc::new(MemoryStore::new()));
            let (_, begin) = store.list(None).await.expect("a list");
            let mut model = Model::default();
            let mut changes = 0;
            for (index, op) in &ops {
                let id = function(*index);
                let answer = run(&store, &model, &id, op).await;
                let must = model.apply(&id, op);
                let kind = answer.as_ref().map(drop).map_err(faas_core::Error::kind);
                assert_eq!(kind, must, "{op:?} of {id}: {answer:?}");
                let Ok(record) = answer else { continue };
                changes += 1;
                match record {
                    Some(record) => {
                        assert!(model.functions[&id].matches(&record));
                        let seen = model.generations.entry(id).or_default();
                        assert!(!seen.contains(&record.generation), "a generation came again");
                        seen.push(record.generation);
                    }
                    None => drop(model.generations.remove(&id)),
                }
            }
            same_state(&store, &model).await;
            let mut told = BTreeMap::new();
            let events: Vec<_> = store.watch(begin).take(changes).collect().await;
            for event in events {
                match event.expect("nothing is compacted") {
                    RegistryEvent::Changed(record) => drop(told.insert(record.function.clone(), record)),
                    RegistryEvent::Deleted(id) => assert!(told.remove(&id).is_some(), "{id} again"),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(told.keys().collect::<Vec<_>>(), model.functions.keys().collect::<Vec<_>>());
            for (id, known) in &model.functions {
                assert!(known.matches(&told[id]));
            }
        });
    }
}
