//! [`Endpoint`]: how to reach what runs in a sandbox.

#[cfg(feature = "conformance")]
pub mod conformance;

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
/// - **fresh_connection**: each `dial` opens a connection of its own, which carries bytes in both
///   directions and in order.
/// - **drop_closes**: dropping a connection closes it, and no other.
/// - **dial_cancels**: dropping the future leaves no connection.
/// - **dead_is_unavailable**: once the sandbox is gone, `dial` answers `Unavailable`, and open
///   connections end.
///
/// # Errors
/// As above.
///
/// # Implementing
/// Run `faas_resource::endpoint::conformance` against it.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Dial: Send + Sync + fmt::Debug + 'static {
    /// Opens a connection.
    async fn dial(&self) -> Result<Box<dyn Connection>>;
}
