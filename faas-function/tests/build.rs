//! The builders and the registry over what is in memory.

use std::path::Path;
use std::sync::Arc;

use faas_core::store::MemoryStore;
use faas_core::{ErrorKind, Name, Namespace, Result, RevisionNumber, RuntimeName};
use faas_function::builder::{Artifact, BuildEvent, BuildRequest, Prebuilt, Source};
use faas_function::registry::{
    Alias, AliasChange, FunctionConfig, FunctionId, Generation, ObjectCode, RegistryEvent,
    StoreMetadata,
};
use faas_function::{CodeStore, FunctionBuilder, MetadataStore};
use faas_resource::Executable;
use futures::StreamExt;
use object_store::memory::InMemory;

fn code() -> Arc<dyn CodeStore> {
    Arc::new(ObjectCode::new(Arc::new(InMemory::new())))
}

fn runtime(name: &str) -> RuntimeName {
    RuntimeName::new(name).expect("a name")
}

fn function(name: &str) -> FunctionId {
    FunctionId {
        namespace: Namespace::default(),
        name: Name::new(name).expect("a name"),
    }
}

fn config() -> FunctionConfig {
    FunctionConfig::new(runtime("provided"), Executable::Image("image".into()))
}

async fn end(builder: &impl FunctionBuilder, request: BuildRequest) -> Result<Artifact> {
    let events: Vec<_> = builder.build(request).collect().await;
    let last = events.into_iter().last().expect("an end");
    last.map(|event| match event {
        BuildEvent::Done(artifact) => artifact,
        other => panic!("{other:?}"),
    })
}

#[tokio::test]
async fn the_life_of_a_function() {
    let registry = StoreMetadata::new(Arc::new(MemoryStore::new()));
    let id = function("hello");
    let (none, start) = registry.list(None).await.unwrap();
    assert!(none.is_empty());
    let first = registry.create(id.clone(), config()).await.unwrap();
    assert_eq!(first.latest.number, RevisionNumber(1));
    let again = registry.create(id.clone(), config()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let stale = Some(Generation(first.generation.0 + 1000));
    let error = registry.update(&id, config(), stale).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let mut changed = config();
    changed.concurrency = 7;
    let second = registry
        .update(&id, changed, Some(first.generation))
        .await
        .unwrap();
    assert_eq!(second.latest.number, RevisionNumber(2));
    assert_ne!(first.generation, second.generation);
    let old = registry.revision(&id, RevisionNumber(1)).await.unwrap();
    assert_eq!(old, first.latest);
    let live = faas_core::AliasName::new("live").unwrap();
    let bad = AliasChange::Set(Alias::to(live.clone(), RevisionNumber(9)));
    let error = registry.set_alias(&id, bad, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let good = AliasChange::Set(Alias::to(live.clone(), RevisionNumber(1)));
    let third = registry.set_alias(&id, good, None).await.unwrap();
    assert!(third.aliases.contains_key(&live));
    assert_eq!(registry.get(&id).await.unwrap(), third);
    registry.delete(&id, Some(third.generation)).await.unwrap();
    assert_eq!(
        registry.get(&id).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let anew = registry.create(id.clone(), config()).await.unwrap();
    assert_eq!(anew.latest.number, RevisionNumber(3));
    let gone = registry.revision(&id, RevisionNumber(1)).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    let seen: Vec<_> = registry.watch(start).take(5).collect().await;
    let deleted = |event: &Result<RegistryEvent>| matches!(event, Ok(RegistryEvent::Deleted(is)) if *is == id);
    assert_eq!(
        seen.iter().map(deleted).collect::<Vec<_>>(),
        [false, false, false, true, false]
    );
}

#[tokio::test]
async fn prebuilt_and_foreign_runtimes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tool");
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    let code = code();
    let prebuilt = Prebuilt::new(vec![runtime("provided")], code.clone());
    let request = BuildRequest::new(runtime("provided"), Source::File(file));
    let artifact = end(&prebuilt, request.clone()).await.unwrap();
    let Executable::Program(program) = artifact.executable else {
        panic!("no program");
    };
    assert_eq!(code.get(&program.code).await.unwrap(), "#!/bin/sh\n");
    assert_eq!(program.entrypoint, Path::new("tool"));
    let mut foreign = request;
    foreign.runtime = runtime("cobol");
    let error = end(&prebuilt, foreign).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
