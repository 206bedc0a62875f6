//! What this program does when it is started again as a function's process.

use std::io::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use faas::runtimes::framed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::platform::echo;

/// The first argument of such a process; the others describe a [`RawEcho`], or are not there.
const FLAG: &str = "serve-as-a-child";

/// A socket at which so many bytes are asked and so many answered, and nothing else.
#[derive(Debug, Clone)]
pub(crate) struct RawEcho {
    pub(crate) path: PathBuf,
    pub(crate) request: usize,
    pub(crate) response: usize,
}

/// A function behind the framed socket, and a raw echo in the same process if it is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Role {
    pub(crate) raw: Option<RawEcho>,
}

impl Role {
    /// The arguments that make a process play it.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let raw = self.raw.iter().flat_map(|raw| {
            let path = raw.path.display().to_string();
            [path, raw.request.to_string(), raw.response.to_string()]
        });
        [FLAG.to_owned()].into_iter().chain(raw).collect()
    }

    /// The role that this process was started for, if for any.
    pub(crate) fn of_this_process() -> Option<Self> {
        let mut arguments = std::env::args().skip(1);
        (arguments.next()? == FLAG).then(|| Self {
            raw: raw(&mut arguments),
        })
    }

    /// Serves until the platform is gone.
    pub(crate) fn play(self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        let served = runtime.block_on(async {
            if let Some(raw) = self.raw {
                tokio::spawn(raw.serve());
            }
            let socket = std::env::var_os(framed::SOCKET).unwrap_or_default();
            framed::guest::serve(socket.as_ref(), Arc::new(echo), 1).await
        });
        match served {
            Ok(()) => ExitCode::SUCCESS,
            // It is how a guest learns that the platform is gone.
            Err(_) => ExitCode::FAILURE,
        }
    }
}

fn raw(arguments: &mut impl Iterator<Item = String>) -> Option<RawEcho> {
    Some(RawEcho {
        path: arguments.next()?.into(),
        request: arguments.next()?.parse().ok()?,
        response: arguments.next()?.parse().ok()?,
    })
}

impl RawEcho {
    async fn serve(self) -> Result<()> {
        let mut stream = UnixStream::connect(&self.path).await?;
        let (mut request, response) = (vec![0; self.request], vec![b'x'; self.response]);
        loop {
            stream.read_exact(&mut request).await?;
            stream.write_all(&response).await?;
        }
    }

    /// The other side: one question and its answer.
    pub(crate) async fn ask(&self, stream: &mut UnixStream, answer: &mut Vec<u8>) -> Result<()> {
        answer.resize(self.request.max(self.response), b'x');
        stream.write_all(&answer[..self.request]).await?;
        stream.read_exact(&mut answer[..self.response]).await?;
        Ok(())
    }
}
