//! The directories that sandboxes share with us: one each, below the node's root.

use std::fs::Permissions;
use std::io::{ErrorKind, Result as IoResult};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use faas_core::{Result, SandboxId};
use tokio::fs;

use crate::error;

/// Where a container sees its directory.
pub(crate) const GUEST: &str = "/run/faas";

/// The file on which a container without a network and without a hook listens.
pub(crate) const SOCKET: &str = "s";

/// The directories of one node.
#[derive(Debug, Clone)]
pub(crate) struct Mounts(pub(crate) PathBuf);

impl Mounts {
    pub(crate) fn of(&self, sandbox: SandboxId) -> PathBuf {
        self.0.join(sandbox.to_string())
    }

    /// Makes a sandbox's directory. Whatever user the container has can use it; nobody else of this
    /// machine can, for the root is ours alone.
    pub(crate) async fn make(&self, sandbox: SandboxId) -> Result<PathBuf> {
        let directory = self.of(sandbox);
        let made = async {
            match fs::create_dir(&directory).await {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            fs::set_permissions(&directory, Permissions::from_mode(0o777)).await
        };
        let made: IoResult<()> = made.await;
        made.map_err(|e| error::file("make directory", &directory, e))?;
        Ok(directory)
    }

    pub(crate) async fn is_made(&self, sandbox: SandboxId) -> bool {
        fs::try_exists(self.of(sandbox)).await.unwrap_or(false)
    }

    /// Lets the container's user connect to what we listen on there.
    pub(crate) async fn open(&self, sandbox: SandboxId) -> Result<()> {
        let directory = self.of(sandbox);
        let opened = async {
            let mut entries = fs::read_dir(&directory).await?;
            while let Some(entry) = entries.next_entry().await? {
                if entry.file_type().await?.is_socket() {
                    fs::set_permissions(entry.path(), Permissions::from_mode(0o666)).await?;
                }
            }
            Ok(())
        };
        let opened: IoResult<()> = opened.await;
        opened.map_err(|e| error::file("share directory", &directory, e))
    }

    pub(crate) async fn remove(&self, sandbox: SandboxId) -> Result<()> {
        let directory = self.of(sandbox);
        match fs::remove_dir_all(&directory).await {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error::file("stop sandbox", &directory, error))
            }
            _ => Ok(()),
        }
    }

    /// The sandboxes that have a directory.
    pub(crate) fn all(root: &Path) -> IoResult<Vec<SandboxId>> {
        let names = std::fs::read_dir(root)?.map(|entry| Ok(entry?.file_name()));
        let names: IoResult<Vec<_>> = names.collect();
        let id = |name: std::ffi::OsString| name.to_str()?.parse().ok();
        Ok(names?.into_iter().filter_map(id).collect())
    }
}
