//! One sandbox from state to state.

pub(crate) mod end;

use std::path::PathBuf;

use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, StartContainerOptions,
};
use faas_core::{Error, ErrorKind, Result, SandboxId};
use faas_resource::Executable;
use faas_resource::agent::{EnsureSandbox, SandboxPhase, SandboxState, SandboxStatus};

use crate::container::{self, Identity, Reached};
use crate::images::{self, Pull};
use crate::table::{Handle, Known, Shared};
use crate::{error, networks, observe};

const OPERATION: &str = "ensure sandbox";

/// How often what was seen may be out of date before it is left to the next event.
const LOOKS: usize = 16;

/// Brings a sandbox to the state asked for, when it is this request's turn.
pub(crate) async fn bring(
    shared: &Shared,
    handle: &Handle,
    request: &EnsureSandbox,
) -> Result<SandboxStatus> {
    let _turn = handle.turn.lock().await;
    let standing = shared.standing(OPERATION, handle)?;
    let container = match standing.container {
        Some(container) => container,
        None => or_clear(shared, handle, create(shared, handle, request).await).await?,
    };
    match (standing.state, request.state) {
        (from, to) if from == to => {}
        (SandboxState::Created, to) => {
            let started = start(shared, handle, &container).await;
            or_clear(shared, handle, started).await?;
            if to == SandboxState::Paused {
                freeze(shared, handle, &container).await?;
            }
        }
        (SandboxState::Running, SandboxState::Paused) => freeze(shared, handle, &container).await?,
        (SandboxState::Paused, SandboxState::Running) => thaw(shared, handle, &container).await?,
        (_, to) => {
            let message = format!("sandbox {} was started, and cannot be {to:?}", handle.id());
            return Err(Error::conflict(OPERATION, message));
        }
    }
    let stopped = || error::stopped(OPERATION, handle.id());
    shared.status(handle.id()).ok_or_else(stopped)
}

/// What never came to be leaves nothing behind.
async fn or_clear<T>(shared: &Shared, handle: &Handle, result: Result<T>) -> Result<T> {
    if let Err(error) = &result {
        if let Err(left) = end::clear(shared, &handle.identity).await {
            tracing::warn!(sandbox = %handle.id(), error = %left, "something of a sandbox is left");
        }
        shared.failed(handle, error);
    }
    result
}

/// Makes its container, and what that needs; answers the engine's id of it.
async fn create(shared: &Shared, handle: &Handle, request: &EnsureSandbox) -> Result<String> {
    let (config, id) = (&shared.config, handle.id());
    let directory = share(shared, handle).await?;
    let body = container::body(request, config, &handle.identity, directory.as_deref())?;
    if let Some(network) = &handle.identity.network {
        let _alone = shared.networks.lock().await;
        networks::ensure(config, network).await?;
    }
    let mut made = make(shared, id, body.clone()).await;
    if let (Err(missing), Pull::IfAbsent) = (&made, config.pull)
        && missing.kind() == ErrorKind::NotFound
        && let Executable::Image(image) = &request.spec.executable
    {
        let stopped = || Error::cancelled(OPERATION, "it was stopped before its image was there");
        tokio::select! {
            biased;
            pulled = images::pull(config, image) => pulled?,
            () = handle.stopping() => return Err(stopped()),
        }
        made = make(shared, id, body).await;
    }
    let container = made?;
    shared.created(id, container.clone());
    Ok(container)
}

/// Has the directory be there that it shares with us, if it does.
async fn share(shared: &Shared, handle: &Handle) -> Result<Option<PathBuf>> {
    let (id, reached) = (handle.id(), &handle.identity.reached);
    let Some(mounts) = &shared.mounts else {
        return match reached {
            Reached::Socket => {
                let message = "without network, hook and shared directory nobody reaches it";
                Err(Error::unsupported(OPERATION, message))
            }
            _ => Ok(None),
        };
    };
    if *reached == Reached::Socket {
        mounts.make(id).await?;
    }
    if !mounts.is_made(id).await {
        return Ok(None);
    }
    mounts.open(id).await?;
    Ok(Some(mounts.of(id)))
}

/// Creates the container, or finds the one of that name if it is ours.
async fn make(shared: &Shared, id: SandboxId, body: ContainerCreateBody) -> Result<String> {
    let name = container::name(&shared.config, id);
    let options = CreateContainerOptions {
        name: Some(name.clone()),
        ..CreateContainerOptions::default()
    };
    let created = shared
        .config
        .engine
        .docker
        .create_container(Some(options), body)
        .await;
    match created {
        Ok(created) => Ok(created.id),
        Err(error) if error::status(&error) == Some(409) => match find(shared, id).await? {
            Some((container, _)) => Ok(container),
            None => {
                let message = format!("a container that is not ours is called {name}");
                Err(Error::conflict(OPERATION, message).with_source(error))
            }
        },
        Err(error) => Err(error::engine(OPERATION, &name, error)),
    }
}

/// The container of a sandbox, if it is there and ours.
pub(crate) async fn find(
    shared: &Shared,
    id: SandboxId,
) -> Result<Option<(String, ContainerInspectResponse)>> {
    let name = container::name(&shared.config, id);
    let Some(seen) = inspect(shared, &name).await? else {
        return Ok(None);
    };
    let labels = seen
        .config
        .as_ref()
        .and_then(|config| config.labels.as_ref());
    let ours = labels.and_then(|labels| Identity::read(labels, &shared.config));
    match (ours, seen.id.clone()) {
        (Some(_), Some(container)) => Ok(Some((container, seen))),
        _ => Ok(None),
    }
}

async fn inspect(shared: &Shared, container: &str) -> Result<Option<ContainerInspectResponse>> {
    let docker = &shared.config.engine.docker;
    match docker
        .inspect_container(container, None::<InspectContainerOptions>)
        .await
    {
        Ok(seen) => Ok(Some(seen)),
        Err(error) if error::status(&error) == Some(404) => Ok(None),
        Err(error) => Err(error::engine("inspect sandbox", container, error)),
    }
}

async fn start(shared: &Shared, handle: &Handle, container: &str) -> Result<()> {
    let docker = &shared.config.engine.docker;
    let before = shared.known(handle.id());
    let started = docker
        .start_container(container, None::<StartContainerOptions>)
        .await;
    started.map_err(|e| match error::status(&e) {
        // What cannot be executed: the engine says so with either.
        Some(400 | 404) => {
            let message = format!("{container}: {e}");
            Error::invalid(OPERATION, message).with_source(e)
        }
        _ => error::engine(OPERATION, container, e),
    })?;
    settle(shared, handle, before, SandboxState::Running).await
}

/// It is in a state now, unless something else was heard of it meanwhile: that is newer.
async fn settle(
    shared: &Shared,
    handle: &Handle,
    before: Option<Known>,
    state: SandboxState,
) -> Result<()> {
    let reached = &handle.identity.reached;
    // Only the engine knows where it is.
    if state == SandboxState::Running && matches!(reached, Reached::Port(_)) {
        return look(shared, handle.id()).await;
    }
    if let Some(before) = before {
        let directory = shared.directory(handle.id());
        let address = observe::address(None, reached, directory.as_deref());
        let phase = SandboxPhase::In(state);
        shared.observed(handle.id(), before.version, phase, address);
    }
    Ok(())
}

/// Asks the engine where a sandbox stands, and enters that.
pub(crate) async fn look(shared: &Shared, id: SandboxId) -> Result<()> {
    for _ in 0..LOOKS {
        let (Some(handle), Some(known)) = (shared.handle(id), shared.known(id)) else {
            return Ok(());
        };
        // Without one, it is being made, or was never.
        let Some(container) = known.container else {
            return Ok(());
        };
        let holds = match inspect(shared, &container).await? {
            Some(seen) => match observe::phase(&seen) {
                Some(phase) => {
                    let directory = shared.directory(id);
                    let reached = &handle.identity.reached;
                    let address = observe::address(Some(&seen), reached, directory.as_deref());
                    shared.observed(id, known.version, phase, address)
                }
                None => true,
            },
            None => shared.vanished(id, known.version),
        };
        if holds {
            break;
        }
    }
    Ok(())
}

async fn freeze(shared: &Shared, handle: &Handle, container: &str) -> Result<()> {
    let before = shared.known(handle.id());
    let paused = shared.config.engine.docker.pause_container(container).await;
    paused.map_err(|e| error::engine("pause sandbox", container, e))?;
    settle(shared, handle, before, SandboxState::Paused).await
}

async fn thaw(shared: &Shared, handle: &Handle, container: &str) -> Result<()> {
    let before = shared.known(handle.id());
    let resumed = shared
        .config
        .engine
        .docker
        .unpause_container(container)
        .await;
    resumed.map_err(|e| error::engine("resume sandbox", container, e))?;
    settle(shared, handle, before, SandboxState::Running).await
}
