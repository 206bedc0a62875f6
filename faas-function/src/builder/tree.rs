//! Source trees: read in one order, digested, and copied.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use faas_core::{Digest, Error, Result};

/// What no source tree holds at its root: what builds made, and the history.
const IGNORED: [&str; 2] = ["target", ".git"];
/// The mark of a directory whose contents can be made again (cargo sets it in `target`):
/// <https://bford.info/cachedir/>.
const CACHE_TAG: &str = "CACHEDIR.TAG";

/// Fields in an order, each with its length, so that no two lists of fields look alike.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<u8>);

impl Fields {
    pub(super) fn add(&mut self, field: impl AsRef<[u8]>) {
        let field = field.as_ref();
        self.0
            .extend_from_slice(&(field.len() as u64).to_be_bytes());
        self.0.extend_from_slice(field);
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

/// Whether a path of an option stays within the tree, as far as its text tells.
pub(super) fn is_within(path: &Path) -> bool {
    let inner = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    !path.as_os_str().is_empty() && path.components().all(inner)
}

/// The sorted paths of a source tree's files and links, relative to `root`. No part of it are `target`,
/// `.git`, and directories that are tagged as caches (`CACHEDIR.TAG`).
///
/// # Errors
/// `InvalidArgument` with every entry that is neither, or a link out of the tree; `NotFound` if
/// there is no such tree.
pub fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let unread = |error| unread(root, error);
    let root = fs::canonicalize(root).map_err(unread)?;
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root.join(&folder)).map_err(unread)? {
            let entry = entry.map_err(unread)?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().map_err(unread)?;
            if IGNORED.iter().any(|name| path.as_os_str() == *name) {
                continue;
            }
            if kind.is_dir() {
                if !root.join(&path).join(CACHE_TAG).exists() {
                    open.push(path);
                }
            } else if kind.is_file() || (kind.is_symlink() && stays(&root, &path)) {
                found.push(path);
            } else {
                let path = path.display();
                faults.push(format!(
                    "{path} is neither a file nor a link within the tree"
                ));
            }
        }
    }
    Error::check("read source tree", faults)?;
    found.sort();
    Ok(found)
}

fn stays(root: &Path, link: &Path) -> bool {
    let link = root.join(link);
    let relative = fs::read_link(&link).is_ok_and(|target| target.is_relative());
    relative && fs::canonicalize(&link).is_ok_and(|target| target.starts_with(root))
}

pub(super) fn unread(path: &Path, error: io::Error) -> Error {
    let message = format!("{}: {error}", path.display());
    let error_kind = error.kind();
    match error_kind {
        io::ErrorKind::NotFound => Error::not_found("read source", message),
        io::ErrorKind::NotADirectory => Error::invalid("read source", message),
        _ => Error::unavailable("read source", message),
    }
    .with_source(error)
}

/// Digests the paths and contents of a tree.
pub(super) fn digest(root: &Path) -> Result<Digest> {
    let mut fields = Fields::default();
    for path in files(root)? {
        let full = root.join(&path);
        let unread = |error| unread(&full, error);
        fields.add(path.as_os_str().as_encoded_bytes());
        if full.is_symlink() {
            fields.add("link");
            fields.add(
                fs::read_link(&full)
                    .map_err(unread)?
                    .as_os_str()
                    .as_encoded_bytes(),
            );
        } else {
            fields.add("file");
            fields.add(Digest::of(&fs::read(&full).map_err(unread)?).hex());
        }
    }
    Ok(fields.digest())
}

/// Copies a tree; links stay links.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    for path in files(from)? {
        let (source, target) = (from.join(&path), to.join(&path));
        let copied = target
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| match fs::read_link(&source) {
                Ok(link) => std::os::unix::fs::symlink(link, &target),
                Err(_) => fs::copy(&source, &target).map(drop),
            });
        copied.map_err(|error| unread(&source, error))?;
    }
    Ok(())
}

/// Runs what blocks where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let stopped = |_| Error::internal("read source", "the reading task stopped");
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}
