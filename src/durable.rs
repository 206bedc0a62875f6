//! The feature `sqlite`: a directory that makes a platform durable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_core::{Clock, Error, Result};
use faas_function::queue::Payloads;
use faas_function::registry::ObjectCode;
use faas_sqlite::SqliteStore;
use object_store::local::LocalFileSystem;

/// What a platform keeps in its data directory.
pub(crate) struct DataDirectory {
    pub(crate) store: SqliteStore,
    pub(crate) code: ObjectCode,
    pub(crate) payloads: Payloads,
    pub(crate) builds: PathBuf,
}

impl DataDirectory {
    /// # Errors
    /// `Unavailable` if the directory cannot be made; those of the store: it is in use, damaged, …
    pub(crate) async fn open(path: &Path, clock: &Arc<dyn Clock>) -> Result<Self> {
        let code = files(&path.join("code"))?;
        let objects = files(&path.join("objects"))?;
        let state = path.join("state.sqlite");
        let store = SqliteStore::builder(state).clock(clock.clone()).open();
        Ok(Self {
            store: store.await?,
            code: ObjectCode::new(Arc::new(code)),
            payloads: Payloads::new(Arc::new(objects)),
            builds: path.join("builds"),
        })
    }
}

/// A directory of objects. An upload is acknowledged only when it would survive a power loss.
fn files(path: &Path) -> Result<LocalFileSystem> {
    std::fs::create_dir_all(path).map_err(|error| unusable(path, error))?;
    let files = LocalFileSystem::new_with_prefix(path);
    let files = files.map_err(|error| unusable(path, error))?;
    Ok(files.with_fsync(true))
}

fn unusable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!("{} cannot be used: {error}", path.display());
    Error::unavailable("open data directory", message).with_source(error)
}
