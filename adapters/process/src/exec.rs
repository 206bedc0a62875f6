//! Running commands inside of sandboxes.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{Error, Result, SandboxId};
use faas_resource::agent::Exec;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;

use crate::table::Shared;
use crate::{error, sandbox};

const OPERATION: &str = "run command";

/// The most that is kept of a command's output.
const KEPT: usize = 1 << 20;

/// How long the output of a command that has ended is read: only what it left in the background
/// can hold it open.
const LAST_OUTPUT: Duration = Duration::from_millis(100);

/// A command's process group, which is killed when this is dropped: before its leader is reaped.
struct Group<'a> {
    shared: &'a Shared,
    pid: Pid,
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        // It may be that nothing is left.
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.shared.watchdog.remove(self.pid);
    }
}

#[async_trait]
impl Exec for Shared {
    async fn exec(&self, sandbox: SandboxId, command: Vec<String>) -> Result<(i32, Bytes)> {
        let environment = self.environment(sandbox);
        let environment = environment.ok_or_else(|| error::not_found(OPERATION, sandbox))?;
        let Some((program, arguments)) = command.split_first() else {
            return Err(Error::invalid(OPERATION, "there is no command"));
        };
        let path = Path::new(program);
        let mut command = sandbox::command(path, &environment, &self.work(sandbox));
        command.args(arguments);
        let mut child = sandbox::spawn(self, &mut command, path).await?;
        let pid = sandbox::pid(&child).ok_or_else(|| error::lost(OPERATION))?;
        let group = Group { shared: self, pid };
        self.watchdog.add(pid).map_err(|error| {
            Error::unavailable(OPERATION, format!("no watchdog: {error}")).with_source(error)
        })?;
        let end = sandbox::watch(pid)?;
        let output = Arc::new(Mutex::new(Vec::new()));
        let mut reading = Box::pin(read(&mut child, output.clone()));
        let read = tokio::select! {
            () = &mut reading => true,
            // An error means that the runtime is going.
            _ = end.readable() => false,
        };
        if !read {
            let clock = &self.config.clock;
            let late = clock.sleep_until(clock.now() + LAST_OUTPUT);
            tokio::select! {
                () = reading => {}
                () = late => {}
            }
        }
        let _ = end.readable().await;
        // What it left behind goes before it is reaped, while the group's number is its own.
        drop(group);
        let status = child.wait().await;
        let status = status.map_err(|error| {
            Error::unavailable(OPERATION, format!("cannot wait for it: {error}")).with_source(error)
        })?;
        let code = status.code().or(status.signal().map(|signal| 128 + signal));
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((code.unwrap_or(-1), std::mem::take(&mut *output).into()))
    }
}

/// Reads both outputs to their ends, and keeps the beginning.
fn read(child: &mut Child, kept: Arc<Mutex<Vec<u8>>>) -> impl Future<Output = ()> + use<> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    async move {
        tokio::join!(drain(out, &kept), drain(err, &kept));
    }
}

async fn drain(from: Option<impl AsyncRead + Unpin>, kept: &Mutex<Vec<u8>>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT - kept.len();
        kept.extend_from_slice(&buffer[..read.min(room)]);
    }
}
