//! One sandbox from state to state, until its end.

use std::io::{Error as IoError, ErrorKind as IoKind};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use faas_core::{Error, Result, SandboxId};
use faas_resource::agent::{EnsureSandbox, ExitCause, LogStream, SandboxState, SandboxStatus};
use faas_resource::endpoint::{Address, Endpoint};
use faas_resource::spec::Program;
use faas_resource::{Executable, SandboxSpec};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

use crate::code_cache::Code;
use crate::logs::Logs;
use crate::table::{Environment, Handle, Shared};
use crate::{DIRECTORY_VARIABLE, SOCKET_VARIABLE, error, freezer, watchdog};

const OPERATION: &str = "start sandbox";

/// How long the output of a sandbox that has ended is read: only a process that escaped the kill
/// can hold it open.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

struct Running {
    child: Child,
    pid: Pid,
    /// Readable when the process has ended, before it is reaped.
    end: AsyncFd<OwnedFd>,
}

/// Brings a sandbox to the state asked for, when it is this request's turn.
pub(crate) async fn bring(
    shared: &Arc<Shared>,
    handle: &Arc<Handle>,
    request: &EnsureSandbox,
) -> Result<SandboxStatus> {
    let _turn = handle.turn.lock().await;
    let standing = shared.standing("ensure sandbox", handle)?;
    let code = match standing.code {
        Some(code) => code,
        None => or_clear(shared, handle, create(shared, handle, &standing.spec).await).await?,
    };
    match (standing.state, request.state) {
        (from, to) if from == to => {}
        (SandboxState::Created, to) => {
            let started = start(shared, handle, &standing.spec, request, &code).await;
            or_clear(shared, handle, started).await?;
            if to == SandboxState::Paused {
                freezer::freeze(shared, handle.id).await?;
            }
        }
        (SandboxState::Running, SandboxState::Paused) => {
            freezer::freeze(shared, handle.id).await?;
        }
        (SandboxState::Paused, SandboxState::Running) => freezer::thaw(shared, handle.id),
        (_, to) => {
            let message = format!("sandbox {} was started, and cannot be {to:?}", handle.id);
            return Err(Error::conflict("ensure sandbox", message));
        }
    }
    Ok(shared.standing("ensure sandbox", handle)?.status)
}

/// What never came to be leaves nothing behind.
async fn or_clear<T>(shared: &Shared, handle: &Handle, result: Result<T>) -> Result<T> {
    if let Err(error) = &result {
        if let Err(left) = shared.clear(handle.id).await {
            tracing::warn!(sandbox = %handle.id, error = %left, "a directory is left");
        }
        shared.failed(handle, error);
    }
    result
}

/// Has all there that it needs to be started.
async fn create(shared: &Shared, handle: &Handle, spec: &SandboxSpec) -> Result<Arc<Code>> {
    let stopped = || Error::cancelled(OPERATION, "it was stopped before it was there");
    let code = tokio::select! {
        biased;
        code = code(shared, spec) => code?,
        () = handle.stopping() => return Err(stopped()),
    };
    // To its end, or a directory might be made after it was cleared away.
    shared.make_directories(handle.id).await?;
    if shared.watchdog.is_closed() {
        return Err(Error::unavailable(OPERATION, "the node is closed"));
    }
    shared.created(handle.id, code.clone());
    Ok(code)
}

/// The code of a spec, and what of it is to be run is there.
pub(crate) async fn code(shared: &Shared, spec: &SandboxSpec) -> Result<Arc<Code>> {
    let program = program(spec)?;
    let code = shared.code.get(program).await?;
    code.entrypoint(program)?;
    Ok(code)
}

fn program(spec: &SandboxSpec) -> Result<&Program> {
    match &spec.executable {
        Executable::Program(program) => Ok(program),
        _ => Err(Error::unsupported(OPERATION, "it is no program")),
    }
}

async fn start(
    shared: &Arc<Shared>,
    handle: &Arc<Handle>,
    spec: &SandboxSpec,
    request: &EnsureSandbox,
    code: &Code,
) -> Result<()> {
    let id = handle.id;
    let program = program(spec)?;
    let path = code.entrypoint(program)?;
    let environment = environment(shared, id, spec, request, code);
    let mut command = command(&path, &environment, &shared.work(id));
    command.args(&program.arguments);
    let mut child = spawn(shared, &mut command, &path).await?;
    match register(shared, id, spec, environment, &child) {
        Ok((pid, end)) => {
            let running = Running { child, pid, end };
            tokio::spawn(supervise(shared.clone(), handle.clone(), running));
            Ok(())
        }
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

/// Nothing is inherited; what the hook prepared wins over the spec, and what is ours over both.
fn environment(
    shared: &Shared,
    id: SandboxId,
    spec: &SandboxSpec,
    request: &EnsureSandbox,
    code: &Code,
) -> Environment {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let mut environment = spec.environment.clone();
    let root = |name: &String| (name.clone(), text(code.root().into()));
    environment.extend(spec.code_root_variables.iter().map(root));
    environment.extend(request.prepared.environment.clone());
    environment.insert(DIRECTORY_VARIABLE.into(), text(shared.directory(id)));
    if spec.hook.is_none() {
        environment.insert(SOCKET_VARIABLE.into(), text(socket(shared, id)));
    }
    environment
}

/// A command within a sandbox, in a process group of its own.
pub(crate) fn command(path: &Path, environment: &Environment, work: &Path) -> Command {
    let mut command = Command::new(path);
    command
        .env_clear()
        .envs(environment)
        .current_dir(work)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn socket(shared: &Shared, sandbox: SandboxId) -> PathBuf {
    shared.mount(sandbox).join("s")
}

/// Another thread's fork may hold the file that we have just written, open for writing, until its
/// exec: the kernel answers ETXTBSY for that moment.
pub(crate) async fn spawn(shared: &Shared, command: &mut Command, path: &Path) -> Result<Child> {
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

pub(crate) fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

fn register(
    shared: &Shared,
    id: SandboxId,
    spec: &SandboxSpec,
    environment: Environment,
    child: &Child,
) -> Result<(Pid, AsyncFd<OwnedFd>)> {
    let pid = pid(child).ok_or_else(|| error::lost(OPERATION))?;
    let end = watch(pid)?;
    let address = match spec.hook {
        Some(_) => Address::Hook,
        None => Address::Unix(socket(shared, id)),
    };
    shared.spawned(id, pid, environment, Endpoint::from(address))?;
    Ok((pid, end))
}

/// Readable when a child has ended, before it is reaped.
pub(crate) fn watch(pid: Pid) -> Result<AsyncFd<OwnedFd>> {
    let unwatched = |error: IoError| {
        let message = format!("cannot watch process {}: {error}", pid.as_raw_nonzero());
        Error::unavailable(OPERATION, message).with_source(error)
    };
    let end = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| unwatched(error.into()))?;
    watch_end(end).map_err(unwatched)
}

#[expect(
    deprecated,
    reason = "its successor is `unsafe`, for types that close or change their descriptor behind \
              tokio's back; an `OwnedFd` that nobody else sees does neither"
)]
fn watch_end(process: OwnedFd) -> Result<AsyncFd<OwnedFd>, IoError> {
    AsyncFd::with_interest(process, Interest::READABLE)
}

/// Sees a sandbox that was started through to its end.
async fn supervise(shared: Arc<Shared>, handle: Arc<Handle>, mut running: Running) {
    let id = handle.id;
    let output = tokio::spawn(read(handle.logs.clone(), &mut running.child));
    if let Err(error) = running.end.readable().await {
        // The runtime is going; the watchdog does the rest.
        tracing::warn!(sandbox = %id, %error, "cannot wait for a sandbox");
    }
    shared.ending(id, running.pid);
    let status = running.child.wait().await;
    let directory = shared.directory(id);
    // An error means that the runtime is going.
    let _ = tokio::task::spawn_blocking(move || watchdog::sweep(&directory)).await;
    finish(&shared, output).await;
    handle.logs.close();
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
