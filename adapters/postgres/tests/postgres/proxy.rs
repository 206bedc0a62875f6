//! A proxy before the server that loses what it is told to lose.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What becomes of the next COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// The server gets it; the answer never comes, and the connection is cut when told.
    LoseAnswer,
    /// The connection is cut instead.
    LoseCommit,
    /// The client's connection is cut; the server's stays, without its COMMIT, until told.
    HoldSession,
}

#[derive(Debug)]
struct State {
    server: PathBuf,
    mode: Mutex<Mode>,
    /// The next COMMIT has come.
    seen: Notify,
    /// What was held may go.
    release: Notify,
}

#[derive(Debug)]
pub(crate) struct Proxy {
    state: Arc<State>,
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(crate) async fn before(server: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State {
            server,
            mode: Mutex::new(Mode::Pass),
            seen: Notify::new(),
            release: Notify::new(),
        });
        let accepting = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, accepting.clone()));
            }
        });
        Self { state, port, task }
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "host=127.0.0.1 port={} user=faas dbname=postgres",
            self.port
        )
    }

    /// Says what becomes of the next COMMIT.
    pub(crate) fn next_commit(&self, mode: Mode) {
        *self.state.mode.lock().expect("no panic") = mode;
    }

    /// Until that COMMIT has come.
    pub(crate) async fn seen(&self) {
        self.state.seen.notified().await;
    }

    pub(crate) fn release(&self) {
        self.state.release.notify_one();
    }
}

async fn pass(mut client: TcpStream, state: Arc<State>) {
    let Ok(mut server) = UnixStream::connect(&state.server).await else {
        return;
    };
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            count = client.read(&mut asked) => {
                let Ok(count @ 1..) = count else { return };
                let bytes = &asked[..count];
                let mode = match commit(bytes) {
                    Some(_) => std::mem::replace(&mut *state.mode.lock().expect("no panic"), Mode::Pass),
                    None => Mode::Pass,
                };
                let end = match mode {
                    Mode::LoseCommit | Mode::HoldSession => commit(bytes).unwrap_or(count),
                    Mode::Pass | Mode::LoseAnswer => count,
                };
                if server.write_all(&bytes[..end]).await.is_err() {
                    return;
                }
                if mode == Mode::Pass {
                    continue;
                }
                state.seen.notify_one();
                if mode == Mode::HoldSession {
                    drop(client);
                }
                if mode != Mode::LoseCommit {
                    state.release.notified().await;
                }
                return;
            }
            count = server.read(&mut answered) => {
                let Ok(count @ 1..) = count else { return };
                if client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Where the message `Q` with COMMIT begins: a type, four bytes of length, the text.
fn commit(bytes: &[u8]) -> Option<usize> {
    let found = bytes.windows(7).position(|window| window == b"COMMIT\0");
    found.map(|text| text - 5)
}
