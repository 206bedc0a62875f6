//! [`Endpoint`]: how to reach what runs in a sandbox.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{HandlerName, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

/// Where a sandbox is reached; serialisable, so that it can be bound in the naming service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Address {
    /// A handler of this process.
    Handler(HandlerName),
    /// A Unix socket that the sandbox listens on.
    Unix(PathBuf),
    /// A TCP address that the sandbox listens on.
    Tcp(SocketAddr),
    /// The sandbox calls us: the hook named in its spec knows it by its id.
    Hook,
}

/// How to reach a sandbox: an address, or something that dials (a vsock, a pipe, a port-forward).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Endpoint {
    /// An address.
    Address(Address),
    /// Something that dials, for this process alone.
    Dial(Arc<dyn Dial>),
}

impl From<Address> for Endpoint {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

/// A byte stream in both directions.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Opens connections to one sandbox.
///
/// # Contract
/// - Each `dial` opens a new connection; dropping the future or the connection closes it.
#[async_trait]
pub trait Dial: Send + Sync + fmt::Debug + 'static {
    /// Opens a connection.
    async fn dial(&self) -> Result<Box<dyn Connection>>;
}
