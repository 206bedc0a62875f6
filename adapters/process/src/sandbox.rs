//! One sandbox from its start to its end.

use std::io::{Error as IoError, ErrorKind as IoKind};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use faas_core::{Error, Result, SandboxId};
use faas_resource::Executable;
use faas_resource::agent::{EnsureSandbox, ExitCause, LogStream};
use faas_resource::endpoint::{Address, Endpoint};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

use crate::code_cache::Code;
use crate::logs::Logs;
use crate::table::{Shared, StartedSender};
use crate::{DIRECTORY_VARIABLE, SOCKET_VARIABLE, error, watchdog};

/// How long the output of a sandbox that has ended is read: only a process that escaped the kill
/// can hold it open.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// How a start went.
#[derive(Debug, Clone)]
pub(crate) enum Started {
    /// It runs.
    Running,
    /// It never ran.
    Failed(Error),
}

struct Running {
    child: Child,
    pid: Pid,
    /// Readable when the process has ended, before it is reaped.
    end: AsyncFd<OwnedFd>,
    /// Keeps the code on disk.
    code: Arc<Code>,
}

/// Starts a sandbox, reports that, and sees it through to its end.
pub(crate) async fn start(shared: Arc<Shared>, request: EnsureSandbox, report: StartedSender) {
    let id = request.id;
    match run(&shared, &request).await {
        Ok(running) => {
            report.send_replace(Some(Started::Running));
            supervise(&shared, id, running).await;
        }
        Err(error) => {
            if let Err(left) = shared.clear(id).await {
                tracing::warn!(sandbox = %id, error = %left, "a directory is left");
            }
            shared.failed(id, &error);
            report.send_replace(Some(Started::Failed(error)));
        }
    }
}

async fn run(shared: &Shared, request: &EnsureSandbox) -> Result<Running> {
    let Executable::Program(program) = &request.spec.executable else {
        return Err(Error::unsupported("start sandbox", "it is no program"));
    };
    let code = shared.code.get(program).await?;
    let path = code.entrypoint(program)?;
    let work = shared.directory(request.id).join("w");
    for directory in [&work, &shared.mount(request.id)] {
        let made = tokio::fs::create_dir_all(directory).await;
        made.map_err(|e| error::file("start sandbox", directory, e))?;
    }
    let mut command = command(shared, request, &code, &path, &work);
    command.args(&program.arguments);
    let mut child = spawn(shared, &mut command, &path).await?;
    match register(shared, request, &child) {
        Ok((pid, end)) => Ok(Running {
            child,
            pid,
            end,
            code,
        }),
        Err(error) => {
            if let Some(pid) = pid(&child) {
                let _ = kill_process_group(pid, Signal::KILL);
                shared.watchdog.remove(pid);
            }
            let _ = child.wait().await;
            Err(error)
        }
    }
}

fn command(
    shared: &Shared,
    request: &EnsureSandbox,
    code: &Code,
    path: &Path,
    work: &Path,
) -> Command {
    let root = |name| (name, code.root());
    let mut command = Command::new(path);
    command
        .env_clear()
        .envs(&request.spec.environment)
        .envs(request.spec.code_root_variables.iter().map(root))
        .envs(&request.prepared.environment)
        .env(DIRECTORY_VARIABLE, shared.directory(request.id))
        .current_dir(work)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if request.spec.hook.is_none() {
        command.env(SOCKET_VARIABLE, socket(shared, request.id));
    }
    command
}

fn socket(shared: &Shared, sandbox: SandboxId) -> PathBuf {
    shared.mount(sandbox).join("s")
}

/// Another thread's fork may hold the file that we have just written, open for writing, until its
/// exec: the kernel answers ETXTBSY for that moment.
async fn spawn(shared: &Shared, command: &mut Command, path: &Path) -> Result<Child> {
    const TRIES: u32 = 50;
    const PAUSE: Duration = Duration::from_millis(5);
    let clock = &shared.config.clock;
    for _ in 1..TRIES {
        match command.spawn() {
            Err(busy) if busy.kind() == IoKind::ExecutableFileBusy => {
                clock.sleep_until(clock.now() + PAUSE).await;
            }
            other => return other.map_err(|e| error::start(path, e)),
        }
    }
    command.spawn().map_err(|e| error::start(path, e))
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

fn register(
    shared: &Shared,
    request: &EnsureSandbox,
    child: &Child,
) -> Result<(Pid, AsyncFd<OwnedFd>)> {
    let pid = pid(child).ok_or_else(|| error::lost("start sandbox"))?;
    let unwatched = |error: IoError| {
        let message = format!("cannot watch process {}: {error}", pid.as_raw_nonzero());
        Error::unavailable("start sandbox", message).with_source(error)
    };
    let end = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| unwatched(error.into()))?;
    let end = watch_end(end).map_err(unwatched)?;
    let address = match request.spec.hook {
        Some(_) => Address::Hook,
        None => Address::Unix(socket(shared, request.id)),
    };
    shared.spawned(request.id, pid, Endpoint::from(address))?;
    Ok((pid, end))
}

#[expect(
    deprecated,
    reason = "its successor is `unsafe`, for types that close or change their descriptor behind \
              tokio's back; an `OwnedFd` that nobody else sees does neither"
)]
fn watch_end(process: OwnedFd) -> Result<AsyncFd<OwnedFd>, IoError> {
    AsyncFd::with_interest(process, Interest::READABLE)
}

async fn supervise(shared: &Arc<Shared>, id: SandboxId, mut running: Running) {
    let logs = shared.logs(id);
    let output = logs
        .clone()
        .map(|logs| tokio::spawn(read(logs, &mut running.child)));
    if let Err(error) = running.end.readable().await {
        // The runtime is going; the watchdog does the rest.
        tracing::warn!(sandbox = %id, %error, "cannot wait for a sandbox");
    }
    shared.ending(id, running.pid);
    let status = running.child.wait().await;
    let directory = shared.directory(id);
    // An error means that the runtime is going.
    let _ = tokio::task::spawn_blocking(move || watchdog::sweep(&directory)).await;
    if let Some(output) = output {
        finish(shared, output).await;
    }
    if let Some(logs) = logs {
        logs.close();
    }
    drop(running.code);
    shared.ended(id, status.map_or(ExitCause::Unknown, cause));
}

/// Reads both outputs to their ends.
fn read(logs: Arc<Logs>, child: &mut Child) -> impl Future<Output = ()> + use<> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    async move {
        let drain_out = async {
            if let Some(out) = out {
                logs.drain(LogStream::Out, out).await;
            }
        };
        let drain_err = async {
            if let Some(err) = err {
                logs.drain(LogStream::Err, err).await;
            }
        };
        tokio::join!(drain_out, drain_err);
    }
}

async fn finish(shared: &Shared, mut output: tokio::task::JoinHandle<()>) {
    let clock = &shared.config.clock;
    tokio::select! {
        biased;
        _ = &mut output => {}
        () = clock.sleep_until(clock.now() + LAST_OUTPUT) => output.abort(),
    }
}

fn cause(status: ExitStatus) -> ExitCause {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitCause::Code(code),
        (None, Some(signal)) => ExitCause::Signal(signal),
        (None, None) => ExitCause::Unknown,
    }
}
