//! Where a sandbox lives, and how that comes and goes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use faas_core::{Error, Result, SandboxId};

use super::Shared;
use crate::error;

impl Shared {
    pub(crate) fn sandboxes(&self) -> PathBuf {
        self.config.root.join("sandboxes")
    }

    pub(crate) fn directory(&self, sandbox: SandboxId) -> PathBuf {
        self.sandboxes().join(sandbox.to_string())
    }

    pub(crate) fn mount(&self, sandbox: SandboxId) -> PathBuf {
        self.directory(sandbox).join("m")
    }

    pub(crate) fn work(&self, sandbox: SandboxId) -> PathBuf {
        self.directory(sandbox).join("w")
    }

    /// Makes the directories of a sandbox. The one that holds them all is not made again: where it
    /// is gone, the node is.
    pub(crate) async fn make_directories(&self, sandbox: SandboxId) -> Result<()> {
        let own = self.directory(sandbox);
        let all = [own, self.work(sandbox), self.mount(sandbox)];
        // All on one visit to the blocking pool: a cold start waits for it.
        let made = tokio::task::spawn_blocking(move || all.iter().try_for_each(|path| make(path)));
        made.await
            .unwrap_or_else(|_| Err(Error::cancelled(MAKE, "the runtime is going")))
    }

    /// Removes its directory.
    pub(crate) async fn clear(&self, sandbox: SandboxId) -> Result<()> {
        let directory = self.directory(sandbox);
        match tokio::fs::remove_dir_all(&directory).await {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error::file("stop sandbox", &directory, error))
            }
            _ => Ok(()),
        }
    }
}

const MAKE: &str = "make directory";

fn make(directory: &Path) -> Result<()> {
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error::file(MAKE, directory, error))
        }
        _ => Ok(()),
    }
}
