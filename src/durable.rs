//! The feature `sqlite`: a directory that makes a platform durable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_core::{Clock, Error, Result};
use faas_function::registry::ObjectCode;
use faas_sqlite::SqliteStore;
use object_store::local::LocalFileSystem;

/// What a platform keeps in its data directory.
pub(crate) struct DataDirectory {
    pub(crate) store: SqliteStore,
    pub(crate) code: ObjectCode,
    pub(crate) builds: PathBuf,
}

impl DataDirectory {
    /// # Errors
    /// `Unavailable` if the directory cannot be made; those of the store: it is in use, damaged, …
    pub(crate) async fn open(path: &Path, clock: &Arc<dyn Clock>) -> Result<Self> {
        let code = path.join("code");
        std::fs::create_dir_all(&code).map_err(|error| unusable(&code, error))?;
        // An upload is acknowledged only when it would survive a power loss.
        let files = LocalFileSystem::new_with_prefix(&code)
            .map_err(|error| unusable(&code, error))?
            .with_fsync(true);
        let state = path.join("state.sqlite");
        let store = SqliteStore::builder(state).clock(clock.clone()).open();
        Ok(Self {
            store: store.await?,
            code: ObjectCode::new(Arc::new(files)),
            builds: path.join("builds"),
        })
    }
}

fn unusable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!("{} cannot be used: {error}", path.display());
    Error::unavailable("open data directory", message).with_source(error)
}
