//! Code by digest: fetched once, verified, made executable, bounded.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Error as IoError, Result as IoResult};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use faas_core::{ByteSize, Digest, Error, Result};
use faas_resource::CodeSource;
use faas_resource::spec::{Packing, Program};
use tar::EntryType;
use tokio::sync::OnceCell;

use crate::error;

const FILE: &str = "program";

/// Makes directories of different nodes and times in this process different.
static MADE: AtomicU64 = AtomicU64::new(0);

/// One artifact on disk; removed when the last sandbox and the cache have let go of it.
#[derive(Debug)]
pub(crate) struct Code {
    directory: PathBuf,
    size: u64,
    packing: Packing,
}

impl Code {
    /// The directory that it lies in.
    pub(crate) fn root(&self) -> &Path {
        &self.directory
    }

    /// What to execute.
    pub(crate) fn entrypoint(&self, program: &Program) -> Result<PathBuf> {
        if self.packing == Packing::File {
            return Ok(self.directory.join(FILE));
        }
        let path = self.directory.join(&program.entrypoint);
        let found = path
            .canonicalize()
            .map_err(|error| error::start(&path, error))?;
        if found.starts_with(&self.directory) {
            return Ok(found);
        }
        let message = format!(
            "entrypoint {} leaves the code",
            program.entrypoint.display()
        );
        Err(Error::invalid("start sandbox", message))
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // What cannot be removed now is removed when a node starts at this root.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[derive(Default)]
struct Slot {
    code: Arc<OnceCell<Arc<Code>>>,
    used: u64,
}

type Key = (String, bool);

#[derive(Default)]
struct Table {
    slots: BTreeMap<Key, Slot>,
    uses: u64,
}

/// The code of one node.
pub(crate) struct CodeCache {
    directory: PathBuf,
    bound: ByteSize,
    source: Arc<dyn CodeSource>,
    table: Mutex<Table>,
}

impl CodeCache {
    /// An empty cache; `directory` exists and is canonical.
    pub(crate) fn new(directory: PathBuf, bound: ByteSize, source: Arc<dyn CodeSource>) -> Self {
        Self {
            directory,
            bound,
            source,
            table: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The code of a program; kept on disk while the answer lives.
    pub(crate) async fn get(&self, program: &Program) -> Result<Arc<Code>> {
        let key = (program.code.hex(), program.packing == Packing::File);
        let cell = self.touch(key);
        let made = cell.get_or_try_init(|| self.make(program)).await.cloned();
        drop(cell);
        self.evict();
        made
    }

    fn touch(&self, key: Key) -> Arc<OnceCell<Arc<Code>>> {
        let mut table = self.lock();
        table.uses += 1;
        let now = table.uses;
        let slot = table.slots.entry(key).or_default();
        slot.used = now;
        slot.code.clone()
    }

    async fn make(&self, program: &Program) -> Result<Arc<Code>> {
        let bytes = self.source.fetch(&program.code).await?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", program.code.hex(), std::process::id());
        // Made before the work: removed when that fails or is dropped.
        let code = Code {
            directory: self.directory.join(name),
            size: bytes.len() as u64,
            packing: program.packing,
        };
        let digest = program.code;
        let bound = self.bound;
        tokio::task::spawn_blocking(move || write(code, &digest, &bytes, bound))
            .await
            .map_err(|_| error::lost("write code"))?
    }

    /// Forgets what was used least recently until the rest is within the bound, and slots whose
    /// fetch failed. Running sandboxes keep their code on disk.
    fn evict(&self) {
        let mut gone = Vec::new();
        let mut table = self.lock();
        table
            .slots
            .retain(|_, slot| slot.code.initialized() || Arc::strong_count(&slot.code) > 1);
        let size = |slot: &Slot| slot.code.get().map_or(0, |code| code.size);
        let mut total: u64 = table.slots.values().map(size).sum();
        while total > self.bound.0 {
            let oldest = table.slots.iter().filter(|(_, slot)| size(slot) > 0);
            let Some(key) = oldest.min_by_key(|(_, slot)| slot.used) else {
                break;
            };
            let key = key.0.clone();
            if let Some(slot) = table.slots.remove(&key) {
                total -= size(&slot);
                gone.push(slot);
            }
        }
        // Files are removed after the lock is released: `gone` was declared before it.
    }
}

fn write(code: Code, digest: &Digest, bytes: &Bytes, bound: ByteSize) -> Result<Arc<Code>> {
    if Digest::of(bytes) != *digest {
        let message = format!("the source's bytes for {digest} have another digest");
        return Err(Error::internal("fetch code", message));
    }
    if code.size > bound.0 {
        let size = ByteSize(code.size);
        let message = format!("{digest} has {size}; the cache holds {bound}");
        return Err(Error::exhausted("fetch code", message));
    }
    let written = fs::create_dir(&code.directory).and_then(|()| match code.packing {
        Packing::File => write_file(&code.directory.join(FILE), bytes),
        Packing::Tar => unpack(&code.directory, bytes),
        _ => Err(IoError::from(std::io::ErrorKind::Unsupported)),
    });
    match written {
        Ok(()) => Ok(Arc::new(code)),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            let message = format!("{digest}: {error}");
            Err(Error::invalid("unpack code", message).with_source(error))
        }
        Err(error) => Err(error::file("write code", &code.directory, error)),
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> IoResult<()> {
    fs::write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o555))
}

/// Files, directories, and links within the code; all else is refused.
fn unpack(directory: &Path, bytes: &[u8]) -> IoResult<()> {
    let bad = |error: IoError| IoError::new(std::io::ErrorKind::InvalidData, error);
    let mut archive = tar::Archive::new(Cursor::new(bytes));
    for entry in archive.entries().map_err(bad)? {
        let mut entry = entry.map_err(bad)?;
        let path = entry.path().map_err(bad)?.into_owned();
        let refuse = |why| bad(IoError::other(format!("{} {why}", path.display())));
        if !stays(&path) {
            return Err(refuse("leaves the code"));
        }
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Directory | EntryType::XGlobalHeader => {}
            EntryType::Symlink | EntryType::Link => {
                let target = entry.link_name().map_err(bad)?;
                if !target.is_some_and(|target| stays(&target)) {
                    return Err(refuse("links out of the code"));
                }
            }
            _ => return Err(refuse("is neither file, directory nor link")),
        }
        if entry.header().entry_type() != EntryType::XGlobalHeader && !entry.unpack_in(directory)? {
            return Err(refuse("leaves the code"));
        }
    }
    Ok(())
}

/// Relative, and without `..`.
fn stays(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_within_stay() {
        assert!(stays(Path::new("./a/b")));
        assert!(!stays(Path::new("../a")) && !stays(Path::new("a/../../b")));
        assert!(!stays(Path::new("/etc/passwd")));
    }
}
