//! Where a function listens, and whether it does yet.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use faas_core::Clock;
use faas_resource::endpoint::{Connection, Dial};
use http::Request;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use super::link::Link;

/// The pauses between two looks at a function that is not ready: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// How long one probe may take.
const PROBE: Duration = Duration::from_secs(1);

pub(super) type Stream = TokioIo<Box<dyn Connection>>;

/// Where a function listens.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
    Dial(Arc<dyn Dial>),
}

impl Target {
    pub(super) async fn open(&self) -> io::Result<Stream> {
        let stream: Box<dyn Connection> = match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Dial(dial) => dial.dial().await.map_err(io::Error::other)?,
        };
        Ok(TokioIo::new(stream))
    }

    /// Ends when the function answers. Its own port is the one thing that nobody pushes to us.
    pub(super) async fn ready(&self, clock: &dyn Clock, probe: Option<&str>) {
        let mut pause = PAUSE.0;
        loop {
            let late = clock.sleep_until(clock.now() + PROBE);
            let ready = tokio::select! {
                biased;
                ready = self.answers(probe) => ready,
                () = late => false,
            };
            if ready {
                return;
            }
            clock.sleep_until(clock.now() + pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn answers(&self, probe: Option<&str>) -> bool {
        let Ok(stream) = self.open().await else {
            return false;
        };
        let Some(path) = probe else { return true };
        let request = Request::get(path).header("host", "function");
        let Ok(request) = request.body(http_body_util::Full::default()) else {
            return false;
        };
        let Ok(mut link) = Link::new(stream).await else {
            return false;
        };
        let answer = link.send(request).await;
        answer.is_ok_and(|answer| answer.status().as_u16() < 400)
    }
}
