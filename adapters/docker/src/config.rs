//! [`DockerNodeBuilder`]: how a Docker node is set up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_core::{ByteSize, Clock, Error, Millicpu, Name, NodeName, Resources, Result, TokioClock};

use crate::agent::DockerNode;
use crate::engine::Engine;
use crate::error;
use crate::images::{Credentials, NoCredentials, Pull};
use crate::options::Network;

const OPERATION: &str = "build Docker node";

/// The longest root, in bytes: the path of a socket below it must fit the 108 bytes of unix(7).
const LONGEST_ROOT: usize = 50;

/// The file of a root that its node has locked.
const LOCK: &str = "lock";

/// Sets up a [`DockerNode`].
#[derive(Clone)]
#[must_use]
pub struct DockerNodeBuilder {
    pub(crate) cluster: Name,
    pub(crate) name: NodeName,
    pub(crate) engine: Engine,
    pub(crate) root: Option<PathBuf>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) capacity: Option<Resources>,
    pub(crate) reserved: Resources,
    pub(crate) labels: BTreeMap<Name, Name>,
    pub(crate) taints: BTreeSet<Name>,
    pub(crate) network: Network,
    pub(crate) pull: Pull,
    pub(crate) credentials: Arc<dyn Credentials>,
    pub(crate) log_bytes: ByteSize,
    pub(crate) ephemeral: bool,
}

impl std::fmt::Debug for DockerNodeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerNodeBuilder")
            .field("cluster", &self.cluster)
            .field("name", &self.name)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

impl DockerNodeBuilder {
    /// A node on an engine. Its containers bear the names of cluster and node: with the same names it
    /// takes up, after a restart, those that it left, and touches no others. On the engine's default
    /// bridge, with all that the engine has, pulling images that are not there, keeping 1 MiB of what
    /// each sandbox writes, unless said otherwise.
    pub fn new(cluster: Name, name: NodeName, engine: Engine) -> Self {
        Self {
            cluster,
            name,
            engine,
            root: None,
            clock: Arc::new(TokioClock::new()),
            capacity: None,
            reserved: Resources::default(),
            labels: BTreeMap::new(),
            taints: BTreeSet::new(),
            network: Network::Bridge,
            pull: Pull::IfAbsent,
            credentials: Arc::new(NoCredentials),
            log_bytes: ByteSize::mib(1),
            ephemeral: false,
        }
    }

    /// The directory (made if need be, and owned by the node) below which each sandbox may share one
    /// with us. Without it, or on an engine that does not see our files, no contract can use a mount.
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// The clock by which graces end.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What its sandboxes may reserve altogether, instead of what the engine says that it has.
    pub fn capacity(mut self, capacity: Resources) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// What is left to others on the engine's machine, of what the engine says that it has.
    pub fn reserve(mut self, reserved: Resources) -> Self {
        self.reserved = reserved;
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

    /// The network of sandboxes whose spec names none.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// When images are pulled, and who gives the credentials for that.
    pub fn pull(mut self, pull: Pull, credentials: Arc<dyn Credentials>) -> Self {
        self.pull = pull;
        self.credentials = credentials;
        self
    }

    /// How much is kept of what each sandbox writes.
    pub fn log_bytes(mut self, bytes: ByteSize) -> Self {
        self.log_bytes = bytes;
        self
    }

    /// What an earlier life of the node left is removed when it starts, and not taken up. (Dropping a
    /// node removes nothing, for that takes requests to the engine: `DockerNode::clear` does.)
    pub fn ephemeral(mut self) -> Self {
        self.ephemeral = true;
        self
    }

    fn check(&self) -> Result<()> {
        let mut faults = Vec::new();
        if let Some(root) = &self.root {
            if !root.is_absolute() {
                faults.push(format!("root {} is not absolute", root.display()));
            }
            if root.to_str().is_none_or(|root| root.contains(':')) {
                faults.push(format!("root {} is not UTF-8 or has a ':'", root.display()));
            }
            if root.as_os_str().len() > LONGEST_ROOT {
                faults.push(format!("the root's path exceeds {LONGEST_ROOT} bytes"));
            }
            if !self.engine.local {
                faults.push("the engine does not see our files, and has no use for a root".into());
            }
        }
        if self.log_bytes.0 < 2 {
            faults.push("no output is kept".into());
        }
        Error::check(OPERATION, faults)
    }

    /// Starts the node: asks the engine what it has, and takes up the sandboxes that a node of the same
    /// names left.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault; `Conflict` if another node has the root; `Unavailable` if
    /// the engine does not answer or the root cannot be used.
    pub async fn build(mut self) -> Result<DockerNode> {
        self.check()?;
        let lock = match self.root.clone() {
            Some(root) => {
                let (root, lock) = take(&root)?;
                self.root = Some(root);
                Some(lock)
            }
            None => None,
        };
        let capacity = match &self.capacity {
            Some(capacity) => capacity.clone(),
            None => self.engine_capacity().await?.minus(&self.reserved),
        };
        DockerNode::start(self, capacity, lock).await
    }

    async fn engine_capacity(&self) -> Result<Resources> {
        let info = self.engine.docker.info().await;
        let info = info.map_err(|e| error::engine(OPERATION, self.engine.address(), e))?;
        let positive = |number: Option<i64>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
        let cpu = Millicpu::cores(positive(info.ncpu));
        Ok(Resources::new(cpu, ByteSize(positive(info.mem_total))))
    }
}

/// Makes a root ours alone, and keeps other nodes from it.
fn take(root: &Path) -> Result<(PathBuf, File)> {
    let unusable = |error| error::file(OPERATION, root, error);
    fs::create_dir_all(root).map_err(unusable)?;
    fs::set_permissions(root, Permissions::from_mode(0o700)).map_err(unusable)?;
    let root = root.canonicalize().map_err(unusable)?;
    let path = root.join(LOCK);
    let file = File::create(&path).map_err(|e| error::file(OPERATION, &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok((root, file)),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another node has the root {}", root.display());
            Err(Error::conflict(OPERATION, message))
        }
        Err(TryLockError::Error(error)) => Err(error::file(OPERATION, &path, error)),
    }
}
