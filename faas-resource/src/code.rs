//! [`CodeSource`]: where a node agent gets the code that it runs.

#[cfg(feature = "conformance")]
pub mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{Digest, Result};

/// Gives the code of an artifact by its digest. The function layer's code store implements it; a
/// node agent keeps what it fetched.
///
/// # Contract
/// - **right_bytes**: the bytes answered have the digest asked for; bytes that do not are an error.
/// - **unknown_is_not_found**: a digest that nobody has answers `NotFound`.
/// - **fetch_again**: what was fetched can be fetched again, by several at once.
/// - **fetch_cancels**: dropping the future ends the fetch and disturbs no other.
///
/// # Errors
/// `NotFound` as above, `Internal` for bytes that do not match, `Unavailable` when the source cannot
/// be reached.
///
/// # Implementing
/// Run `faas_resource::code::conformance` against it.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait CodeSource: Send + Sync + 'static {
    /// The bytes with that digest.
    async fn fetch(&self, digest: &Digest) -> Result<Bytes>;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: CodeSource + ?Sized> CodeSource for $pointer<T> {
            async fn fetch(&self, digest: &Digest) -> Result<Bytes> {
                (**self).fetch(digest).await
            }
        }
    )*};
}
pointer!(Arc, Box);
