//! What a spec means to the engine, and what a container's labels say of the sandbox that it is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use faas_core::{ByteSize, Digest, Error, Resources, Result, SandboxId, WorkloadId};
use faas_resource::Executable;
use faas_resource::agent::EnsureSandbox;
use faas_resource::hook::Cookie;
use serde::{Deserialize, Serialize};

use crate::config::DockerNodeBuilder;
use crate::mounts::{GUEST, SOCKET};
use crate::networks;
use crate::options::{DockerOptions, Network};
use crate::{PORT_VARIABLE, SOCKET_VARIABLE};

pub(crate) const CLUSTER: &str = "faas.cluster";
pub(crate) const NODE: &str = "faas.node";
pub(crate) const SANDBOX: &str = "faas.sandbox";
const WORKLOAD: &str = "faas.workload";
const DIGEST: &str = "faas.digest";
const COOKIE: &str = "faas.cookie";
const RESOURCES: &str = "faas.resources";
const REACHED: &str = "faas.reached";
const OWN_NETWORK: &str = "faas.network";

/// Where a container listens that nothing tells another port.
const DEFAULT_PORT: u16 = 8080;
/// The processor shares of one whole processor, as Docker and Kubernetes count them.
const SHARES: u64 = 1024;
const NO_PRIVILEGES: &str = "no-new-privileges";

/// How a container is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reached {
    /// It calls us.
    Hook,
    /// By a socket in its directory.
    Socket,
    /// By TCP, at the address that the engine gives it.
    Port(u16),
    /// By TCP, at the host's loopback interface.
    HostPort(u16),
}

/// What the labels of a container say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) sandbox: SandboxId,
    pub(crate) workload: WorkloadId,
    pub(crate) digest: Digest,
    pub(crate) cookie: Cookie,
    pub(crate) takes: Resources,
    pub(crate) reached: Reached,
    /// The network that may go with it.
    pub(crate) network: Option<String>,
}

impl Identity {
    pub(crate) fn of(request: &EnsureSandbox, config: &DockerNodeBuilder) -> Result<Self> {
        let options = options(request)?;
        let network = network(&options, config);
        let port = port(request)?;
        let reached = match (&request.spec.hook, network) {
            (Some(_), _) => Reached::Hook,
            (None, Network::None) => Reached::Socket,
            (None, Network::Host) => Reached::HostPort(port),
            (None, _) => Reached::Port(port),
        };
        Ok(Self {
            sandbox: request.id,
            workload: request.workload,
            digest: request.digest,
            cookie: request.prepared.cookie.clone(),
            takes: request.spec.resources.clone(),
            reached,
            network: networks::own(config, network),
        })
    }

    fn labels(&self, config: &DockerNodeBuilder) -> Result<HashMap<String, String>> {
        let json = |error: serde_json::Error| {
            Error::internal("ensure sandbox", "its resources have no form").with_source(error)
        };
        let mut labels = owner(config);
        let own = [
            (SANDBOX, self.sandbox.to_string()),
            (WORKLOAD, self.workload.to_string()),
            (DIGEST, self.digest.to_string()),
            (COOKIE, BASE64.encode(&self.cookie.0)),
            (RESOURCES, serde_json::to_string(&self.takes).map_err(json)?),
            (REACHED, serde_json::to_string(&self.reached).map_err(json)?),
        ];
        labels.extend(own.map(|(name, value)| (name.to_owned(), value)));
        if let Some(network) = &self.network {
            labels.insert(OWN_NETWORK.into(), network.clone());
        }
        Ok(labels)
    }

    /// The sandbox of a container; `None` if it is not one of this node's.
    pub(crate) fn read(
        labels: &HashMap<String, String>,
        config: &DockerNodeBuilder,
    ) -> Option<Self> {
        let get = |name: &str| labels.get(name);
        let ours = owner(config);
        if !ours.iter().all(|(name, value)| get(name) == Some(value)) {
            return None;
        }
        Some(Self {
            sandbox: get(SANDBOX)?.parse().ok()?,
            workload: get(WORKLOAD)?.parse().ok()?,
            digest: get(DIGEST)?.parse().ok()?,
            cookie: Cookie(BASE64.decode(get(COOKIE)?).ok()?.into()),
            takes: serde_json::from_str(get(RESOURCES)?).ok()?,
            reached: serde_json::from_str(get(REACHED)?).ok()?,
            network: get(OWN_NETWORK).cloned(),
        })
    }
}

/// The labels of all that is this node's.
pub(crate) fn owner(config: &DockerNodeBuilder) -> HashMap<String, String> {
    [
        (CLUSTER.to_owned(), config.cluster.to_string()),
        (NODE.to_owned(), config.name.to_string()),
    ]
    .into()
}

/// Those labels as the engine's filters want them.
pub(crate) fn filter(config: &DockerNodeBuilder) -> HashMap<String, Vec<String>> {
    let labels = owner(config);
    let labels = labels.iter().map(|(name, value)| format!("{name}={value}"));
    [("label".to_owned(), labels.collect())].into()
}

/// The name of a sandbox's container.
pub(crate) fn name(config: &DockerNodeBuilder, sandbox: SandboxId) -> String {
    format!("faas-{}-{sandbox}", config.cluster)
}

pub(crate) fn options(request: &EnsureSandbox) -> Result<DockerOptions> {
    Ok(request.spec.extensions.get()?.unwrap_or_default())
}

fn network<'a>(options: &'a DockerOptions, config: &'a DockerNodeBuilder) -> &'a Network {
    options.network.as_ref().unwrap_or(&config.network)
}

fn port(request: &EnsureSandbox) -> Result<u16> {
    let (spec, prepared) = (&request.spec.environment, &request.prepared.environment);
    let Some(port) = prepared.get(PORT_VARIABLE).or(spec.get(PORT_VARIABLE)) else {
        return Ok(DEFAULT_PORT);
    };
    port.parse().map_err(|_| {
        let message = format!("{PORT_VARIABLE}={port} is not a port");
        Error::invalid("ensure sandbox", message)
    })
}

/// What the engine is to create. `directory` is the one that the sandbox shares with us.
pub(crate) fn body(
    request: &EnsureSandbox,
    config: &DockerNodeBuilder,
    identity: &Identity,
    directory: Option<&Path>,
) -> Result<ContainerCreateBody> {
    let options = options(request)?;
    let Executable::Image(image) = &request.spec.executable else {
        return Err(Error::unsupported("ensure sandbox", "it is not an image"));
    };
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    Ok(ContainerCreateBody {
        image: Some(image.clone()),
        env: Some(environment(request, &identity.reached)),
        labels: Some(identity.labels(config)?),
        entrypoint: options.entrypoint.clone(),
        cmd: options.command.clone(),
        working_dir: options.working_directory.as_ref().map(text),
        user: options.user.clone(),
        host_config: Some(host(request, config, &options, directory)),
        ..ContainerCreateBody::default()
    })
}

/// What the hook prepared wins over the spec, and what is ours over both.
fn environment(request: &EnsureSandbox, reached: &Reached) -> Vec<String> {
    let mut environment = request.spec.environment.clone();
    environment.extend(request.prepared.environment.clone());
    let (name, value) = match reached {
        Reached::Hook => (None, String::new()),
        Reached::Socket => (Some(SOCKET_VARIABLE), format!("{GUEST}/{SOCKET}")),
        Reached::Port(port) | Reached::HostPort(port) => (Some(PORT_VARIABLE), port.to_string()),
    };
    if let Some(name) = name {
        environment.insert(name.into(), value);
    }
    let pairs = environment.into_iter();
    pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn host(
    request: &EnsureSandbox,
    config: &DockerNodeBuilder,
    options: &DockerOptions,
    directory: Option<&Path>,
) -> HostConfig {
    let resources = &request.spec.resources;
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let memory = signed(resources.memory.0);
    let nanos = signed(resources.cpu.0.saturating_mul(1_000_000));
    let seccomp = options
        .seccomp
        .iter()
        .map(|profile| format!("seccomp={profile}"));
    let scratch = options.scratch.iter();
    HostConfig {
        cpu_shares: Some(signed(resources.cpu.0.saturating_mul(SHARES) / 1000).max(2)),
        nano_cpus: options.cpu_ceiling.then_some(nanos),
        memory: Some(memory),
        // The same: nothing is swapped.
        memory_swap: Some(memory),
        pids_limit: Some(options.processes.into()),
        network_mode: Some(networks::mode(config, network(options, config))),
        binds: Some(binds(options, directory)),
        readonly_rootfs: Some(!options.writable_root),
        tmpfs: Some(scratch.map(tmpfs).collect()),
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: Some(options.capabilities.iter().cloned().collect()),
        security_opt: Some(
            [NO_PRIVILEGES.to_owned()]
                .into_iter()
                .chain(seccomp)
                .collect(),
        ),
        init: Some(options.init),
        runtime: options.oci_runtime.clone(),
        log_config: Some(log(config)),
        ..HostConfig::default()
    }
}

fn tmpfs((path, size): (&PathBuf, &ByteSize)) -> (String, String) {
    let path = path.to_string_lossy().into_owned();
    (path, format!("size={},mode=1777", size.0))
}

fn binds(options: &DockerOptions, directory: Option<&Path>) -> Vec<String> {
    let bind = |host: &Path, guest: &str, mode: &str| format!("{}:{guest}:{mode}", host.display());
    let ours = directory.map(|directory| bind(directory, GUEST, "rw"));
    let others = options.mounts.iter().map(|mount| {
        let mode = if mount.writable { "rw" } else { "ro" };
        bind(&mount.host, &mount.guest.to_string_lossy(), mode)
    });
    ours.into_iter().chain(others).collect()
}

/// The engine keeps what a container writes, bounded: two files of half the bound.
fn log(config: &DockerNodeBuilder) -> HostConfigLogConfig {
    let half = (config.log_bytes.0 / 2).max(1);
    let options = [("max-size", half.to_string()), ("max-file", "2".to_owned())];
    HostConfigLogConfig {
        typ: Some("json-file".into()),
        config: Some(options.map(|(name, value)| (name.to_owned(), value)).into()),
    }
}
