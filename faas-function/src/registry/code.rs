//! [`ObjectCode`]: the code half of the registry over any object store.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::component::Component;
use faas_core::{Description, Digest, Error, ErrorKind, Result, Retry};
use faas_resource::CodeSource;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::CodeStore;

/// The code store over any [`ObjectStore`] (a bucket, a directory, memory); a clone is the same
/// store.
///
/// A blob lies at `<prefix>/sha256/<digest>`. Nothing that is read is believed: it is digested
/// again. Putting a blob writes it even if it is there, which mends one that was damaged.
#[derive(Debug, Clone)]
pub struct ObjectCode {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl ObjectCode {
    /// The code under `code/` of `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        let prefix = Path::from("code");
        Self { store, prefix }
    }

    /// The code under another prefix; several stores may share a bucket so.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.prefix = Path::from(prefix);
        self
    }

    fn path(&self, digest: &Digest) -> Path {
        self.prefix.clone().join("sha256").join(digest.hex())
    }
}

fn kind(error: &object_store::Error) -> (ErrorKind, Retry) {
    use object_store::Error as E;
    match error {
        E::NotFound { .. } => (ErrorKind::NotFound, Retry::Never),
        E::PermissionDenied { .. } => (ErrorKind::PermissionDenied, Retry::Never),
        E::Unauthenticated { .. } => (ErrorKind::Unauthenticated, Retry::Never),
        E::NotSupported { .. } | E::NotImplemented { .. } => (ErrorKind::Unsupported, Retry::Never),
        // All that is done here is idempotent.
        _ => (ErrorKind::Unavailable, Retry::Safe),
    }
}

fn failed(operation: &'static str, digest: &Digest, error: object_store::Error) -> Error {
    let (kind, retry) = kind(&error);
    let message = format!("code {digest}: {error}");
    Error::new(kind, retry, operation, message).with_source(error)
}

#[async_trait]
impl CodeStore for ObjectCode {
    async fn put(&self, code: Bytes) -> Result<Digest> {
        let digest = Digest::of(&code);
        let put = self.store.put(&self.path(&digest), code.into()).await;
        put.map_err(|error| failed("put code", &digest, error))?;
        Ok(digest)
    }

    async fn get(&self, digest: &Digest) -> Result<Bytes> {
        let lost = |error| failed("get code", digest, error);
        let found = self.store.get(&self.path(digest)).await.map_err(lost)?;
        let code = found.bytes().await.map_err(lost)?;
        let is = Digest::of(&code);
        if is != *digest {
            let message = format!("what is kept as code {digest} is {is}: it was damaged");
            return Err(Error::internal("get code", message));
        }
        Ok(code)
    }

    async fn delete(&self, digest: &Digest) -> Result<()> {
        match self.store.delete(&self.path(digest)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete code", digest, error)),
        }
    }

    fn describe(&self) -> Description {
        Description::new(format!("ObjectCode over {}", self.store)).provides(Component::F1)
    }
}

/// Any code store gives nodes their code.
#[async_trait]
impl CodeSource for dyn CodeStore {
    async fn fetch(&self, digest: &Digest) -> Result<Bytes> {
        self.get(digest).await
    }
}

#[async_trait]
impl CodeSource for ObjectCode {
    async fn fetch(&self, digest: &Digest) -> Result<Bytes> {
        self.get(digest).await
    }
}
