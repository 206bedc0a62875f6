//! [`DockerOptions`]: what a spec may say to a Docker node alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use faas_core::{ByteSize, Name};
use faas_resource::spec::Extension;
use serde::{Deserialize, Serialize};

/// The network of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Network {
    /// None but its own loopback interface: it is reached by a socket on a mounted directory.
    None,
    /// The engine's default bridge, which all of its containers share.
    Bridge,
    /// A bridge of the cluster's own, of that name, made when it is first needed and removed with the
    /// last sandbox on it: sandboxes on different ones do not reach each other.
    Own(Name),
    /// The host's: nothing keeps it from what listens there.
    Host,
}

/// A directory or file of the engine's machine that a container sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is on the engine's machine; absolute.
    pub host: PathBuf,
    /// Where the container sees it; absolute.
    pub guest: PathBuf,
    /// Whether the container may change it.
    pub writable: bool,
}

/// Options of a spec for Docker nodes. What they leave out is closed: no capability, no way to new
/// privileges, the engine's default seccomp profile, a root that cannot be written to, 64 MiB of
/// scratch at `/tmp`, at most 512 processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DockerOptions {
    /// The program to run and its first arguments, instead of the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments, instead of the image's.
    pub command: Option<Vec<String>>,
    /// Its working directory, instead of the image's.
    pub working_directory: Option<PathBuf>,
    /// `user`, `uid` or `uid:gid`, instead of the image's.
    pub user: Option<String>,
    /// Its network, instead of the node's.
    pub network: Option<Network>,
    /// Whether its root can be written to.
    pub writable_root: bool,
    /// Scratch space in memory, by path; it counts as the sandbox's memory.
    pub scratch: BTreeMap<PathBuf, ByteSize>,
    /// What else it sees.
    pub mounts: Vec<Mount>,
    /// Capabilities (capabilities(7), without `CAP_`) that it has.
    pub capabilities: BTreeSet<String>,
    /// A seccomp profile in Docker's JSON form, or `unconfined`, instead of the engine's default.
    pub seccomp: Option<String>,
    /// How many processes and threads it may have.
    pub processes: u32,
    /// Whether the processors that it reserves are also all that it gets; else they are its share when
    /// others want some, too.
    pub cpu_ceiling: bool,
    /// Whether the engine's `docker-init` is the first process: it hands signals on, and reaps what
    /// the function leaves behind. (A first process that does nothing about SIGTERM is not ended by it.)
    pub init: bool,
    /// The OCI runtime that runs it (`runsc`, say), instead of the engine's default.
    pub oci_runtime: Option<String>,
}

impl Default for DockerOptions {
    fn default() -> Self {
        Self {
            entrypoint: None,
            command: None,
            working_directory: None,
            user: None,
            network: None,
            writable_root: false,
            scratch: [(PathBuf::from("/tmp"), ByteSize::mib(64))].into(),
            mounts: Vec::new(),
            capabilities: BTreeSet::new(),
            seccomp: None,
            processes: 512,
            cpu_ceiling: false,
            init: false,
            oci_runtime: None,
        }
    }
}

impl Extension for DockerOptions {
    const NAME: &'static str = "docker";

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let guests = self
            .mounts
            .iter()
            .flat_map(|mount| [&mount.host, &mount.guest]);
        for path in guests
            .chain(self.scratch.keys())
            .chain(&self.working_directory)
        {
            if !path.is_absolute() {
                faults.push(format!("{} is not absolute", path.display()));
            } else if path.to_str().is_none_or(|path| path.contains([':', '\0'])) {
                faults.push(format!(
                    "{} is not UTF-8, or has a ':' or NUL",
                    path.display()
                ));
            }
        }
        if self.entrypoint.as_ref().is_some_and(Vec::is_empty) {
            faults.push("the entrypoint is empty".into());
        }
        if self.processes == 0 {
            faults.push("not even one process is allowed".into());
        }
        for capability in &self.capabilities {
            let known = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
            if capability.is_empty() || !capability.bytes().all(known) {
                faults.push(format!("{capability:?} is not a capability's name"));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faas_resource::spec::Extensions;

    #[test]
    fn all_faults_are_told_at_once() {
        let options = DockerOptions {
            entrypoint: Some(Vec::new()),
            working_directory: Some("here".into()),
            processes: 0,
            capabilities: ["net admin".to_owned()].into(),
            ..DockerOptions::default()
        };
        assert_eq!(options.faults().len(), 4, "{:?}", options.faults());
        assert!(DockerOptions::default().faults().is_empty());
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        let json = serde_json::json!({"docker": {"network": {"own": "tenant"}}});
        let extensions: Extensions = serde_json::from_value(json).unwrap();
        let options: DockerOptions = extensions.get().unwrap().unwrap();
        let tenant = Network::Own("tenant".parse().unwrap());
        let expected = DockerOptions {
            network: Some(tenant),
            ..DockerOptions::default()
        };
        assert_eq!(options, expected);
    }
}
