//! The suite of [`CodeStore`].

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use faas_core::{Digest, ErrorKind};
use futures::future::BoxFuture;

use super::fails;
use crate::CodeStore;

/// A store, and how to damage what it keeps.
#[derive(Clone)]
pub struct CodeFixture {
    /// The store.
    pub store: Arc<dyn CodeStore>,
    /// Puts these bytes in the place of those that are kept under a digest, behind the store's back.
    pub damage: Arc<dyn Fn(Digest, Bytes) -> BoxFuture<'static, ()> + Send + Sync>,
}

impl fmt::Debug for CodeFixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeFixture").finish_non_exhaustive()
    }
}

/// Makes a fresh store.
pub type CodeFactory = Arc<dyn Fn() -> BoxFuture<'static, CodeFixture> + Send + Sync>;

/// A case by name.
pub type CodeCase = fn(CodeFactory) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// All cases of [`CodeStore`].
        pub const CODE_CASES: &[(&str, CodeCase)] = &[
            $((stringify!($case), |factory| Box::pin(async move {
                $case(factory().await).await;
            }))),*
        ];
    };
}
cases! { put_get put_is_idempotent verified unknown_digest delete_is_idempotent }

const CODE: Bytes = Bytes::from_static(b"code");

/// "what was put is answered by its digest, byte for byte."
pub async fn put_get(CodeFixture { store, .. }: CodeFixture) {
    for code in [&b""[..], b"code", &[0, 255, 10]] {
        let digest = store.put(Bytes::from_static(code)).await.expect("put");
        assert_eq!(digest, Digest::of(code));
        assert_eq!(store.get(&digest).await.expect("it is there"), code);
    }
}

/// "putting the same bytes again answers the same digest, and mends what was damaged."
pub async fn put_is_idempotent(CodeFixture { store, damage }: CodeFixture) {
    let first = store.put(CODE).await.expect("put");
    let second = store.put(CODE).await.expect("put again");
    assert_eq!(first, second);
    assert_eq!(store.get(&first).await.expect("it is there"), CODE);
    damage(first, Bytes::from_static(b"c0de")).await;
    store.put(CODE).await.expect("put again");
    assert_eq!(store.get(&first).await.expect("it is mended"), CODE);
}

/// "bytes that do not have the digest asked for are an error, never an answer."
pub async fn verified(CodeFixture { store, damage }: CodeFixture) {
    let digest = store.put(CODE).await.expect("put");
    for damaged in [&b"c0de"[..], b"cod", b""] {
        damage(digest, Bytes::from_static(damaged)).await;
        let error = store.get(&digest).await.expect_err("it was damaged");
        assert_ne!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}

/// "an unknown digest answers `NotFound`."
pub async fn unknown_digest(CodeFixture { store, .. }: CodeFixture) {
    let unknown = store.get(&Digest::of(b"unknown")).await;
    fails(unknown, ErrorKind::NotFound, "an unknown digest");
}

/// "deleting what is not there is no fault."
pub async fn delete_is_idempotent(CodeFixture { store, .. }: CodeFixture) {
    let digest = store.put(CODE).await.expect("put");
    store.delete(&digest).await.expect("deleted");
    store.delete(&digest).await.expect("deleted again");
    let gone = store.get(&digest).await;
    fails(gone, ErrorKind::NotFound, "deleted code");
}

/// Makes a test of each case of [`CodeStore`](crate::CodeStore)'s suite; the factory is an `async`
/// closure that answers a [`CodeFixture`](crate::registry::conformance::CodeFixture).
#[macro_export]
macro_rules! code_store_conformance {
    ($factory:expr) => {
        $crate::code_store_conformance! { @cases $factory;
            put_get put_is_idempotent verified unknown_digest delete_is_idempotent
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::registry::conformance::$case(($factory)().await).await;
        }
    )*};
}
