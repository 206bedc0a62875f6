//! The registry's defaults keep their contracts, and the suites catch those that break one: each
//! fault breaks one rule, and the case of that name fails against it.

mod metadata {
    use faas_core::store::MemoryStore;
    use faas_function::registry::StoreMetadata;
    use std::sync::Arc;

    faas_function::metadata_store_conformance!(async || StoreMetadata::new(Arc::new(
        MemoryStore::new()
    )));
}

mod code {
    use std::collections::BTreeMap;
    use std::panic::AssertUnwindSafe;
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use bytes::Bytes;
    use faas_core::{Description, Digest, Error, ErrorKind, Result};
    use faas_function::CodeStore;
    use faas_function::registry::ObjectCode;
    use faas_function::registry::conformance::{CODE_CASES, CodeFactory, CodeFixture};
    use futures::{FutureExt, StreamExt};
    use object_store::memory::InMemory;
    use object_store::{ObjectStore, ObjectStoreExt};

    faas_function::code_store_conformance!(async || object_code());

    fn object_code() -> CodeFixture {
        let objects = Arc::new(InMemory::new());
        let store = Arc::new(ObjectCode::new(objects.clone()));
        let damage = move |digest: Digest, bytes: Bytes| {
            let objects = objects.clone();
            async move {
                let listed: Vec<_> = objects.list(None).collect().await;
                let blob = listed.into_iter().flatten();
                let mut blob = blob.filter(|o| o.location.as_ref().contains(&digest.hex()));
                let blob = blob.next().expect("it is kept").location;
                objects.put(&blob, bytes.into()).await.expect("damaged");
            }
            .boxed()
        };
        CodeFixture {
            store,
            damage: Arc::new(damage),
        }
    }

    struct Broken {
        inner: Arc<dyn CodeStore>,
        rule: &'static str,
        /// What was put, as one that does not verify would read it.
        raw: Arc<Mutex<BTreeMap<Digest, Bytes>>>,
    }

    #[async_trait]
    impl CodeStore for Broken {
        async fn put(&self, code: Bytes) -> Result<Digest> {
            let digest = Digest::of(&code);
            let known = self.inner.get(&digest).await.is_ok();
            match self.rule {
                "put_get" if code.is_empty() => return Ok(digest),
                "put_is_idempotent" if known => return Ok(Digest::of(b"another")),
                _ => {}
            }
            self.raw
                .lock()
                .expect("no panic")
                .insert(digest, code.clone());
            self.inner.put(code).await
        }
        async fn get(&self, digest: &Digest) -> Result<Bytes> {
            match self.inner.get(digest).await {
                Err(error) if self.rule == "verified" && error.kind() == ErrorKind::Internal => {
                    let raw = self.raw.lock().expect("no panic").get(digest).cloned();
                    raw.ok_or(error)
                }
                Err(error)
                    if self.rule == "unknown_digest" && error.kind() == ErrorKind::NotFound =>
                {
                    Err(Error::unavailable("get code", "it may be elsewhere"))
                }
                answer => answer,
            }
        }
        async fn delete(&self, digest: &Digest) -> Result<()> {
            if self.rule == "delete_is_idempotent" {
                self.inner.get(digest).await?;
            }
            self.inner.delete(digest).await
        }
        fn describe(&self) -> Description {
            Description::new("Broken")
        }
    }

    fn broken(rule: &'static str) -> CodeFactory {
        Arc::new(move || {
            let CodeFixture { store, damage } = object_code();
            let raw: Arc<Mutex<BTreeMap<_, _>>> = Arc::default();
            let seen = raw.clone();
            let damage = move |digest: Digest, bytes: Bytes| {
                seen.lock().expect("no panic").insert(digest, bytes.clone());
                damage(digest, bytes)
            };
            let store = Broken {
                inner: store,
                rule,
                raw,
            };
            let fixture = CodeFixture {
                store: Arc::new(store),
                damage: Arc::new(damage),
            };
            std::future::ready(fixture).boxed()
        })
    }

    #[tokio::test]
    async fn every_rule_has_a_store_that_breaks_it_and_is_caught() {
        for (rule, case) in CODE_CASES {
            let run = AssertUnwindSafe(case(broken(rule))).catch_unwind();
            assert!(run.await.is_err(), "{rule} is not caught");
            case(broken("none")).await;
        }
    }
}

/// As the source of code for node agents.
mod source {
    use std::sync::Arc;

    use bytes::Bytes;
    use faas_core::Digest;
    use faas_function::CodeStore;
    use faas_function::registry::ObjectCode;
    use faas_resource::code::conformance::Fixture;
    use futures::StreamExt;
    use object_store::memory::InMemory;
    use object_store::{ObjectStore, ObjectStoreExt};

    async fn fixture() -> Fixture {
        let objects = Arc::new(InMemory::new());
        let store = ObjectCode::new(objects.clone());
        let damaged = store.put("as it was".into()).await.expect("it is put");
        let listed: Vec<_> = objects.list(None).collect().await;
        let blob = listed.into_iter().flatten().next().expect("it is kept");
        let changed = objects.put(&blob.location, "as it is".into()).await;
        changed.expect("it is changed");
        let known: Vec<_> = ["one", "another", ""].map(Bytes::from).into();
        for code in &known {
            let digest = store.put(code.clone()).await.expect("it is put");
            assert_eq!(digest, Digest::of(code));
        }
        let mut fixture = Fixture::new(Arc::new(store), known);
        fixture.damaged = Some(damaged);
        fixture
    }

    faas_resource::code_source_conformance!(fixture);
}
