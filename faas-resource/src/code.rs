//! [`CodeSource`]: where a node agent gets the code that it runs.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{Digest, Result};

/// Gives the code of an artifact by its digest. The function layer's code store implements it; a
/// node agent keeps what it fetched.
///
/// # Contract
/// - The bytes answered have the digest asked for; anything else is an error.
/// - Dropping the future fetches nothing more and leaks nothing.
///
/// # Errors
/// `NotFound` for an unknown digest, `Internal` for bytes that do not match, `Unavailable` when
/// the source cannot be reached.
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
