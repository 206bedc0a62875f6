//! [`ProcessNodeBuilder`]: how a process node is set up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::Result as IoResult;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas_core::{ByteSize, Clock, Error, Millicpu, Name, NodeName, Resources, Result, TokioClock};
use faas_resource::CodeSource;
use tempfile::TempDir;

use crate::agent::ProcessNode;
use crate::error;
use crate::logs::Bounds;
use crate::watchdog::{self, Watchdog};

/// The longest root, in bytes: a socket's path below it must fit the 108 bytes of unix(7).
const LONGEST_ROOT: usize = 50;

/// The file of a root that its node has locked; it stays when the node goes.
const LOCK: &str = "lock";

/// Sets up a [`ProcessNode`].
#[derive(Clone)]
#[must_use]
pub struct ProcessNodeBuilder {
    pub(crate) name: NodeName,
    pub(crate) root: PathBuf,
    /// Removed with the node.
    pub(crate) temporary: Option<Arc<TempDir>>,
    pub(crate) source: Arc<dyn CodeSource>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) capacity: Resources,
    pub(crate) labels: BTreeMap<Name, Name>,
    pub(crate) taints: BTreeSet<Name>,
    pub(crate) logs: Bounds,
    pub(crate) code_cache: ByteSize,
}

impl std::fmt::Debug for ProcessNodeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessNodeBuilder")
            .field("name", &self.name)
            .field("root", &self.root)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl ProcessNodeBuilder {
    /// A node that keeps its files below `root` (which is made, and which it owns: sandboxes that
    /// an earlier node left there are killed) and gets code from `source`. Four processors, 4 GiB,
    /// 1000 lines of 16 KiB of each sandbox's output, and 1 GiB of code, unless said otherwise.
    pub fn new(name: NodeName, root: impl Into<PathBuf>, source: Arc<dyn CodeSource>) -> Self {
        Self {
            name,
            root: root.into(),
            temporary: None,
            source,
            clock: Arc::new(TokioClock::new()),
            capacity: Resources::new(Millicpu::cores(4), ByteSize::gib(4)),
            labels: BTreeMap::new(),
            taints: BTreeSet::new(),
            logs: Bounds {
                lines: 1000,
                line_bytes: 16 << 10,
            },
            code_cache: ByteSize::gib(1),
        }
    }

    /// As [`new`](Self::new), at a root of its own among the system's temporary files, which is
    /// removed with the node.
    ///
    /// # Errors
    /// `Unavailable` if the directory cannot be made.
    pub fn temporary(name: NodeName, source: Arc<dyn CodeSource>) -> Result<Self> {
        let place = temporary_place(std::env::temp_dir());
        let made = tempfile::Builder::new().prefix("faas-").tempdir_in(&place);
        let made = made.map_err(|e| error::file("make temporary root", &place, e))?;
        let mut builder = Self::new(name, made.path(), source);
        builder.temporary = Some(Arc::new(made));
        Ok(builder)
    }

    /// The clock by which graces end and lines are dated.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What its sandboxes may reserve altogether; counted, not enforced.
    pub fn capacity(mut self, capacity: Resources) -> Self {
        self.capacity = capacity;
        self
    }

    /// Adds a label for placement.
    pub fn label(mut self, name: Name, value: Name) -> Self {
        self.labels.insert(name, value);
        self
    }

    /// Adds a taint.
    pub fn taint(mut self, taint: Name) -> Self {
        self.taints.insert(taint);
        self
    }

    /// How many lines are kept of each sandbox, and how many bytes of each line.
    pub fn log_lines(mut self, lines: usize, longest: ByteSize) -> Self {
        self.logs.lines = lines;
        self.logs.line_bytes = usize::try_from(longest.0).unwrap_or(usize::MAX);
        self
    }

    /// How much code is kept on disk, beyond what running sandboxes use; also the largest artifact.
    pub fn code_cache(mut self, bound: ByteSize) -> Self {
        self.code_cache = bound;
        self
    }

    fn check(&self) -> Result<()> {
        let mut faults = Vec::new();
        if !self.root.is_absolute() {
            faults.push(format!("root {} is not absolute", self.root.display()));
        }
        if self.root.as_os_str().len() > LONGEST_ROOT {
            faults.push(format!("the root's path exceeds {LONGEST_ROOT} bytes"));
        }
        if self.logs.lines == 0 || self.logs.lines > 1 << 20 {
            faults.push("the lines kept are not between 1 and 2^20".into());
        }
        if self.logs.line_bytes == 0 {
            faults.push("lines of no byte are kept".into());
        }
        if self.code_cache.0 == 0 {
            faults.push("the code cache holds nothing".into());
        }
        Error::check("build process node", faults)
    }

    /// Starts the node: takes its root, and kills what an earlier node left there.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault; `Conflict` if another node has the root; `Unavailable`
    /// if the root cannot be used.
    pub fn build(mut self) -> Result<ProcessNode> {
        self.check()?;
        let root = self.root.clone();
        let unusable = |error| error::file("build process node", &root, error);
        fs::create_dir_all(&root).map_err(unusable)?;
        self.root = root.canonicalize().map_err(unusable)?;
        // Where no node was before, there is nothing to look for in all of /proc.
        let before = self.root.join(LOCK).exists();
        let lock = lock(&self.root)?;
        if before {
            let killed = watchdog::sweep(&self.root.join("sandboxes"));
            if killed > 0 {
                tracing::warn!(killed, root = %root.display(), "killed what an earlier node left");
            }
        }
        for directory in ["sandboxes", "code"] {
            renew(&self.root.join(directory)).map_err(unusable)?;
        }
        let remains = match &self.temporary {
            Some(_) => self.root.clone(),
            None => self.root.join("sandboxes"),
        };
        let held = lock.try_clone().map_err(unusable)?;
        let watchdog = Watchdog::new(&self.root, remains, held);
        Ok(ProcessNode::new(self, watchdog, lock))
    }
}

/// Where temporary files go, unless that is too deep for the sockets below it.
fn temporary_place(usual: PathBuf) -> PathBuf {
    /// `/faas-` and tempfile's six letters.
    const OWN: usize = 12;
    match usual.as_os_str().len() + OWN > LONGEST_ROOT {
        true => PathBuf::from("/tmp"),
        false => usual,
    }
}

/// Held until the node is dropped, or dies and its watchdog has cleaned up after it: that takes a
/// moment, which is waited for.
fn lock(root: &Path) -> Result<File> {
    const TRIES: u32 = 50;
    const PAUSE: Duration = Duration::from_millis(10);
    let path = root.join(LOCK);
    let file = File::create(&path).map_err(|e| error::file("build process node", &path, e))?;
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            _ => break,
        }
    }
    // Once it is ours, this changes nothing.
    file.try_lock().map_err(|error| {
        let message = format!("{}: another node has this root: {error}", root.display());
        Error::conflict("build process node", message).with_source(error)
    })?;
    Ok(file)
}

fn renew(directory: &Path) -> IoResult<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir(directory)
}
