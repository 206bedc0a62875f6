//! What a release has written is read for ever: the files beside this test hold what each version
//! of a stored value looked like, and are never edited.

use std::sync::Arc;

use bytes::Bytes;
use faas_core::store::{Batch, Key, MemoryStore, Precondition, Scan, Space, Store};
use faas_core::{AliasName, ByteSize, Digest, Millicpu, Name, RevisionNumber, RuntimeName};
use faas_function::builder::{BuildEvent, BuildRequest, Chain, Prebuilt, Source};
use faas_function::registry::{
    Alias, AliasChange, FunctionConfig, FunctionId, ObjectCode, StoreMetadata,
};
use faas_function::{CodeStore, FunctionBuilder, MetadataStore};
use faas_resource::Executable;
use faas_resource::spec::{Extension, Packing, Program};
use futures::StreamExt;
use object_store::memory::InMemory;
use serde::{Deserialize, Serialize};

const FUNCTIONS: Space = Space::watched("functions");
const REVISIONS: Space = Space::unwatched("function-revisions");
const COUNTERS: Space = Space::unwatched("function-counters");
const BUILDS: Space = Space::unwatched("function-builds");

const FUNCTION: &[u8] = include_bytes!("golden/function-v1.json");
const REVISION: &[u8] = include_bytes!("golden/function-revision-v1.json");
const COUNTER: &[u8] = include_bytes!("golden/function-counter-v1.json");
const BUILD: &[u8] = include_bytes!("golden/function-build-v1.json");

/// An option of a backend.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Colour {
    red: u8,
}

impl Extension for Colour {
    const NAME: &'static str = "colour";
    fn faults(&self) -> Vec<String> {
        Vec::new()
    }
}

fn id() -> FunctionId {
    "shop/checkout".parse().expect("a function")
}

fn key() -> Key {
    Key::new("shop").child("checkout")
}

fn config() -> FunctionConfig {
    let runtime = RuntimeName::new("provided").expect("a name");
    let program = Program {
        code: Digest::of(b"code"),
        packing: Packing::File,
        entrypoint: "bootstrap".into(),
        arguments: vec!["--fast".into()],
    };
    let mut config = FunctionConfig::new(runtime, Executable::Program(program));
    config.environment.insert("LEVEL".into(), "info".into());
    config.resources.cpu = Millicpu(250);
    config.resources.memory = ByteSize::mib(512);
    let gpu = Name::new("gpu").expect("a name");
    config.resources.extended.insert(gpu, 1);
    config.timeout = std::time::Duration::from_millis(1_500);
    config.concurrency = 8;
    (config.min_instances, config.max_instances) = (1, 20);
    config.response_limit = 1 << 20;
    let set = config.extensions.set(&Colour { red: 200 });
    set.expect("a sound extension");
    config
}

fn live() -> AliasName {
    AliasName::new("live").expect("a name")
}

fn alias() -> Alias {
    Alias {
        name: live(),
        weights: [(RevisionNumber(3), 9), (RevisionNumber(4), 1)].into(),
    }
}

/// The text of a file, without the line end that it closes with.
fn text(golden: &[u8]) -> &str {
    std::str::from_utf8(golden).expect("text").trim_end()
}

async fn stored(store: &MemoryStore, space: Space) -> Vec<(Key, String)> {
    let page = store
        .scan(Scan::new(space, faas_core::store::KeyRange::all()))
        .await;
    let entries = page.expect("a page").entries.into_iter();
    let read = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("text");
    entries
        .map(|entry| (entry.key, read(entry.value)))
        .collect()
}

#[tokio::test]
async fn the_registry_writes_what_it_always_wrote() {
    let store = Arc::new(MemoryStore::new());
    let registry = StoreMetadata::new(store.clone());
    registry.create(id(), config()).await.expect("created");
    registry
        .update(&id(), config(), None)
        .await
        .expect("updated");
    registry.delete(&id(), None).await.expect("deleted");
    assert_eq!(
        stored(&store, COUNTERS).await,
        [(key(), text(COUNTER).to_owned())]
    );
    registry.create(id(), config()).await.expect("created");
    registry
        .update(&id(), config(), None)
        .await
        .expect("updated");
    let set = registry
        .set_alias(&id(), AliasChange::Set(alias()), None)
        .await;
    set.expect("set");
    assert_eq!(
        stored(&store, FUNCTIONS).await,
        [(key(), text(FUNCTION).to_owned())]
    );
    let revisions = stored(&store, REVISIONS).await;
    assert_eq!(revisions.len(), 2);
    assert_eq!(revisions[0], (key().number(3), text(REVISION).to_owned()));
}

#[tokio::test]
async fn the_registry_reads_what_version_1_wrote() {
    let store = Arc::new(MemoryStore::new());
    let put = |batch: Batch, space, key, golden: &'static [u8]| {
        batch.put(space, key, Bytes::from_static(golden), Precondition::Any)
    };
    let batch = put(Batch::new(), FUNCTIONS, key(), FUNCTION);
    let batch = put(batch, REVISIONS, key().number(3), REVISION);
    let other = Key::new("shop").child("gone");
    let batch = put(batch, COUNTERS, other, COUNTER);
    store.commit(batch).await.expect("written");
    let registry = StoreMetadata::new(store);
    let record = registry.get(&id()).await.expect("it is there");
    assert_eq!(record.latest.number, RevisionNumber(4));
    assert_eq!(record.latest.config, config());
    assert_eq!(record.aliases, [(live(), alias())].into());
    let colour = record.latest.config.extensions.get::<Colour>();
    assert_eq!(colour.expect("it can be read"), Some(Colour { red: 200 }));
    let old = registry.revision(&id(), RevisionNumber(3)).await;
    assert_eq!(old.expect("it is there").config, config());
    let gone = "shop/gone".parse().expect("a function");
    let anew = registry.create(gone, config()).await.expect("created");
    assert_eq!(anew.latest.number, RevisionNumber(3));
}

#[tokio::test]
async fn the_chain_writes_and_reads_what_it_always_did() {
    let store = Arc::new(MemoryStore::new());
    let code: Arc<dyn CodeStore> = Arc::new(ObjectCode::new(Arc::new(InMemory::new())));
    let source = code.put(Bytes::from_static(b"code")).await.expect("put");
    let runtime = RuntimeName::new("provided").expect("a name");
    let prebuilt = Prebuilt::new(vec![runtime.clone()], code.clone());
    let chain = Chain::new(store.clone(), code.clone()).with(prebuilt);
    let request = BuildRequest::new(runtime, Source::Code(source));
    let built = chain.build(request.clone()).collect::<Vec<_>>().await;
    let [Ok(BuildEvent::Done(artifact))] = &built[..] else {
        panic!("{built:?}");
    };
    let kept = Key::new(artifact.cache_key.hex());
    assert_eq!(
        stored(&store, BUILDS).await,
        [(kept.clone(), text(BUILD).to_owned())]
    );
    // What another life has built is not built again: here what it is has changed meanwhile.
    let other = text(BUILD).replace("\"entrypoint\":\"program\"", "\"entrypoint\":\"other\"");
    assert_ne!(other, text(BUILD));
    let batch = Batch::new().put(BUILDS, kept, other, Precondition::Any);
    store.commit(batch).await.expect("written");
    let again = chain.build(request).collect::<Vec<_>>().await;
    let [Ok(BuildEvent::Done(artifact))] = &again[..] else {
        panic!("{again:?}");
    };
    let Executable::Program(program) = &artifact.executable else {
        panic!("{artifact:?}");
    };
    assert_eq!(program.entrypoint, std::path::Path::new("other"));
}
