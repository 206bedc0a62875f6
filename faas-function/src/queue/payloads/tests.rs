use faas_core::{Clock, MemoryStore, TokioClock};
use futures::StreamExt;
use object_store::memory::InMemory;
use proptest::prelude::*;

use super::*;
use crate::queue::owner;

struct Place {
    store: MemoryStore,
    payloads: Payloads,
    ids: IdSource,
    epoch: Epoch,
}

impl Place {
    async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let store = MemoryStore::new();
        let epoch = owner::take(&store, &*clock, None).await.unwrap();
        Self {
            store,
            payloads: Payloads::new(Arc::new(InMemory::new())).over(4),
            ids: IdSource::random(clock),
            epoch,
        }
    }

    async fn put(&self, text: &str) -> (Blob, Pin) {
        let payload = Payload::text(text);
        let put = self.payloads.put(&self.store, &self.ids, &payload);
        put.await.unwrap()
    }

    async fn refer(&self, blob: &Blob, id: u128) -> Result<()> {
        let batch = refer(Batch::new(), blob, InvocationId::from_u128(id)).unwrap();
        self.store.commit(batch).await.map(drop)
    }

    async fn release(&self, blob: &Blob, id: u128) {
        let batch = release(Batch::new(), blob, InvocationId::from_u128(id));
        self.store.commit(batch).await.unwrap();
    }

    async fn collect(&self, blob: &Blob) {
        let collected = self.payloads.collect(&self.store, self.epoch, blob.digest);
        collected.await.unwrap();
    }

    async fn objects(&self) -> usize {
        self.payloads.objects.list(None).count().await
    }
}

#[tokio::test]
async fn equal_payloads_are_one_object_until_nobody_names_it() {
    let place = Place::new().await;
    let (first, _) = place.put("large").await;
    place.refer(&first, 1).await.unwrap();
    let (second, _) = place.put("large").await;
    place.refer(&second, 2).await.unwrap();
    assert_eq!((&first, place.objects().await), (&second, 1));
    place.release(&first, 1).await;
    place.collect(&first).await;
    assert_eq!(place.payloads.read(&second).await.unwrap(), "large");
    place.release(&second, 2).await;
    place.collect(&first).await;
    assert_eq!(place.objects().await, 0);
}

#[tokio::test]
async fn what_is_about_to_be_named_is_pinned() {
    let place = Place::new().await;
    let (blob, pin) = place.put("large").await;
    place.collect(&blob).await;
    place.refer(&blob, 1).await.unwrap();
    drop(pin);
    place.collect(&blob).await;
    assert_eq!(place.payloads.read(&blob).await.unwrap(), "large");
}

#[tokio::test]
async fn a_name_that_comes_too_late_is_refused_and_a_slow_removal_hits_nothing_new() {
    let place = Place::new().await;
    let (old, pin) = place.put("large").await;
    drop(pin);
    // Another process gives it up, and stalls before it removes the object.
    let entry = place.store.get(&SPACE, &object(&old.digest)).await.unwrap();
    let batch = Batch::new().delete(
        SPACE,
        object(&old.digest),
        Precondition::At(entry.unwrap().version),
    );
    place.store.commit(batch).await.unwrap();
    let error = place.refer(&old, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let (new, _) = place.put("large").await;
    place.refer(&new, 1).await.unwrap();
    place.payloads.bury(&place.store, &old).await.unwrap();
    assert_eq!(place.payloads.read(&new).await.unwrap(), "large");
    assert_eq!(place.objects().await, 1);
}

#[tokio::test]
async fn one_that_was_named_between_look_and_removal_is_kept() {
    let place = Place::new().await;
    let (blob, pin) = place.put("large").await;
    drop(pin);
    // What `collect` read is old by the time that it writes.
    let seen = place
        .store
        .get(&SPACE, &object(&blob.digest))
        .await
        .unwrap();
    place.refer(&blob, 1).await.unwrap();
    let version = Precondition::At(seen.unwrap().version);
    let late = Batch::new().delete(SPACE, object(&blob.digest), version);
    let error = place.store.commit(late).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_fenced_owner_removes_nothing_and_damage_is_noticed() {
    let place = Place::new().await;
    let (blob, pin) = place.put("large").await;
    drop(pin);
    let clock = TokioClock::new();
    owner::take(&place.store, &clock, None).await.unwrap();
    place.collect(&blob).await;
    assert_eq!(place.payloads.read(&blob).await.unwrap(), "large");
    let path = place.payloads.path(&blob.digest, blob.generation);
    place
        .payloads
        .objects
        .put(&path, "small".into())
        .await
        .unwrap();
    let error = place.payloads.read(&blob).await.unwrap_err();
    assert!(error.message().contains("damaged"), "{error}");
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    /// Put, and never named: a crash.
    Lose(usize),
    Release(usize),
    Collect(usize),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3usize).prop_map(Step::Put),
        (0..3usize).prop_map(Step::Lose),
        (0..20usize).prop_map(Step::Release),
        (0..3usize).prop_map(Step::Collect),
        Just(Step::Sweep),
    ]
}

proptest! {
    /// Whatever is done in whatever order: what is named can be read, and in the end there is
    /// nothing else.
    #[test]
    fn what_is_named_is_there_and_nothing_else_stays(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        const TEXTS: [&str; 3] = ["first payload", "second payload", "third payload"];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let place = Place::new().await;
            let (mut named, mut next) = (Vec::new(), 0u128);
            for step in steps {
                match step {
                    Step::Put(text) => {
                        let (blob, _pin) = place.put(TEXTS[text]).await;
                        next += 1;
                        place.refer(&blob, next).await.unwrap();
                        named.push((text, blob, next));
                    }
                    Step::Lose(text) => drop(place.put(TEXTS[text]).await),
                    Step::Release(at) if !named.is_empty() => {
                        let (_, blob, id) = named.swap_remove(at % named.len());
                        place.release(&blob, id).await;
                    }
                    Step::Release(_) => {}
                    Step::Collect(text) => {
                        let digest = Digest::of(TEXTS[text].as_bytes());
                        let collected = place.payloads.collect(&place.store, place.epoch, digest);
                        collected.await.unwrap();
                    }
                    Step::Sweep => place.payloads.sweep(&place.store, place.epoch).await.unwrap(),
                }
                for (text, blob, _) in &named {
                    assert_eq!(place.payloads.read(blob).await.unwrap(), TEXTS[*text]);
                }
            }
            place.payloads.sweep(&place.store, place.epoch).await.unwrap();
            let distinct: std::collections::HashSet<_> = named.iter().map(|(text, ..)| text).collect();
            assert_eq!(place.objects().await, distinct.len());
        });
    }
}
