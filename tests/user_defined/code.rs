//! A code store of one's own (F1) keeps what is built.

use std::sync::Arc;

use bytes::Bytes;
use faas::Platform;
use faas::core::{Component, Description, Digest, Result};
use faas::function::CodeStore;
use faas::function::builder::{BuildRequest, Source};
use faas::function::registry::ObjectCode;
use object_store::memory::InMemory;

use crate::{Asked, names};

/// Counts what is kept.
struct Counted(ObjectCode, Asked);

#[async_trait::async_trait]
impl CodeStore for Counted {
    async fn put(&self, code: Bytes) -> Result<Digest> {
        self.1.again();
        self.0.put(code).await
    }
    async fn get(&self, digest: &Digest) -> Result<Bytes> {
        self.0.get(digest).await
    }
    async fn delete(&self, digest: &Digest) -> Result<()> {
        self.0.delete(digest).await
    }
    fn describe(&self) -> Description {
        Description::new("Counted").provides(Component::F1)
    }
}

#[tokio::test]
async fn what_is_built_is_kept_in_it() {
    let asked = Asked::default();
    let code = Counted(ObjectCode::new(Arc::new(InMemory::new())), asked.clone());
    let platform = Platform::builder().code(Arc::new(code)).build().await;
    let platform = platform.expect("it is well configured");
    names(&platform, Component::F1, "Counted");
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("bootstrap");
    std::fs::write(&program, "#!/bin/sh\n").expect("a file");
    let runtime = "provided".parse().expect("a name");
    let request = BuildRequest::new(runtime, Source::File(program));
    let built = platform.build("script", request, |_| {}).await;
    built.expect("it is taken as it is");
    assert_eq!(asked.times(), 1);
}
