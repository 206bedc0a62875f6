//! [`Engine`]: one Docker Engine, and how it is reached.

use std::fmt;
#[cfg(feature = "tls")]
use std::path::Path;

use bollard::{API_DEFAULT_VERSION, Docker};
use faas_core::{Error, Result};

use crate::error;

const OPERATION: &str = "connect to engine";
/// How long the engine may take to answer one request, in seconds. An engine under load takes its
/// time; what waits has a deadline of its own.
const PATIENCE: u64 = 120;

/// A connection to a Docker Engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) docker: Docker,
    /// Whether it sees the files that we see.
    pub(crate) local: bool,
    name: String,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.name).finish()
    }
}

impl Engine {
    /// The engine that the environment names by `DOCKER_HOST`, or else the one at
    /// `/var/run/docker.sock`.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub async fn from_environment() -> Result<Self> {
        let host = std::env::var("DOCKER_HOST")
            .ok()
            .filter(|host| !host.is_empty());
        Self::at(host.as_deref().unwrap_or("unix:///var/run/docker.sock")).await
    }

    /// The engine at an address: `unix:///path` (which is taken to see the files that we see), or
    /// `tcp://host:port`, which is neither encrypted nor authenticated: with [`tls`](Self::tls) it
    /// is both.
    ///
    /// # Errors
    /// `InvalidArgument` for another kind of address; `Unavailable` if no engine answers there.
    pub async fn at(address: &str) -> Result<Self> {
        let (connected, local) = match address.split_once("://") {
            Some(("unix", _)) => {
                let connected = Docker::connect_with_unix(address, PATIENCE, API_DEFAULT_VERSION);
                (connected, true)
            }
            Some(("tcp" | "http", _)) => {
                let connected = Docker::connect_with_http(address, PATIENCE, API_DEFAULT_VERSION);
                (connected, false)
            }
            _ => {
                let message = format!("{address} is neither unix://… nor tcp://…");
                return Err(Error::invalid(OPERATION, message));
            }
        };
        Self::new(address, connected, local).await
    }

    /// The engine at `tcp://host:port` with TLS, where both sides prove who they are: the files of
    /// our key, our certificate, and the authority that signed the engine's, all in PEM.
    ///
    /// # Errors
    /// `Unavailable` if a file cannot be read or no engine answers there.
    #[cfg(feature = "tls")]
    pub async fn tls(
        address: &str,
        key: &Path,
        certificate: &Path,
        authority: &Path,
    ) -> Result<Self> {
        let version = API_DEFAULT_VERSION;
        let connected =
            Docker::connect_with_ssl(address, key, certificate, authority, PATIENCE, version);
        Self::new(address, connected, false).await
    }

    /// Speaks the newest version of the API that both sides know.
    async fn new(
        address: &str,
        connected: std::result::Result<Docker, bollard::errors::Error>,
        local: bool,
    ) -> Result<Self> {
        let docker = connected.map_err(|e| error::engine(OPERATION, address, e))?;
        let docker = docker.negotiate_version().await;
        let docker = docker.map_err(|e| error::engine(OPERATION, address, e))?;
        Ok(Self {
            docker,
            local,
            name: address.into(),
        })
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.name
    }
}
