//! The directory that a builder keeps between builds.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use faas_core::{ByteSize, Error, Result};

use crate::builder::tree::{self, blocking, unread};

const BOUND: ByteSize = ByteSize::gib(8);

/// Where things lie: `source` while a build runs, `target` from one to the next.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    directory: PathBuf,
    bound: ByteSize,
}

/// The cache, in the hands of one build.
pub(super) struct Entered {
    cache: Cache,
    _lock: File,
}

/// The copy of a source tree; removed with this.
pub(super) struct Copy(PathBuf);

impl Copy {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What cannot be removed now is removed before the next build.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unwritten(path: &Path, error: std::io::Error) -> Error {
    let message = format!("{}: {error}", path.display());
    Error::unavailable("use build cache", message).with_source(error)
}

impl Cache {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            bound: BOUND,
        }
    }

    pub(super) fn with_bound(self, bound: ByteSize) -> Self {
        Self { bound, ..self }
    }

    /// Takes the cache, alone.
    ///
    /// # Errors
    /// `Unavailable` if another builder, of this process or another, has it.
    pub(super) async fn enter(&self) -> Result<Entered> {
        let cache = self.clone();
        blocking(move || {
            let path = cache.directory.join("lock");
            fs::create_dir_all(&cache.directory).map_err(|error| unwritten(&path, error))?;
            let lock = File::create(&path).map_err(|error| unwritten(&path, error))?;
            match lock.try_lock() {
                Ok(()) => Ok(Entered { cache, _lock: lock }),
                Err(TryLockError::WouldBlock) => {
                    let directory = cache.directory.display();
                    let message = format!("another builder uses the cache {directory}");
                    Err(Error::unavailable("use build cache", message))
                }
                Err(TryLockError::Error(error)) => Err(unwritten(&path, error)),
            }
        })
        .await
    }
}

impl Entered {
    pub(super) fn target(&self) -> PathBuf {
        self.cache.directory.join("target")
    }

    /// Copies a source tree, always to the same place: what cargo made for it serves again.
    pub(super) async fn copy(&self, root: &Path) -> Result<Copy> {
        let copy = Copy(self.cache.directory.join("source"));
        let (from, to) = (root.to_owned(), copy.0.clone());
        blocking(move || {
            // What a killed builder left.
            let _ = fs::remove_dir_all(&to);
            fs::create_dir_all(&to).map_err(|error| unwritten(&to, error))?;
            tree::copy(&from, &to)
        })
        .await?;
        Ok(copy)
    }

    /// Empties the target directory if it has outgrown its bound.
    pub(super) async fn trim(&self) -> Result<()> {
        let (target, bound) = (self.target(), self.cache.bound);
        blocking(move || {
            let size = size(&target).map_err(|error| unread(&target, error))?;
            if size > bound.0 {
                tracing::info!(size = %ByteSize(size), %bound, "the build cache is emptied");
                fs::remove_dir_all(&target).map_err(|error| unwritten(&target, error))?;
            }
            Ok(())
        })
        .await
    }
}

fn size(directory: &Path) -> std::io::Result<u64> {
    let mut total = 0_u64;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        total = total.saturating_add(match () {
            () if kind.is_dir() => size(&entry.path())?,
            () if kind.is_file() => entry.metadata()?.len(),
            () => 0,
        });
    }
    Ok(total)
}
