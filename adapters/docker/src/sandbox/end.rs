//! The end of a sandbox: gracefully first, and nothing of it is left.

use std::time::Duration;

use bollard::query_parameters::{
    KillContainerOptions, RemoveContainerOptions, WaitContainerOptions,
};
use faas_core::Result;
use faas_resource::agent::{SandboxPhase, SandboxState};
use futures::StreamExt;

use super::{find, inspect};
use crate::container::Identity;
use crate::table::{Handle, Shared};
use crate::{error, networks};

const OPERATION: &str = "stop sandbox";
const TERMINATE: &str = "SIGTERM";

/// Ends a sandbox: gracefully first, and forced after `grace`; then nothing of it is left.
pub(crate) async fn stop(shared: &Shared, handle: &Handle, grace: Duration) -> Result<()> {
    let _turn = handle.turn.lock().await;
    if let Some(known) = shared.known(handle.id())
        && let Some(container) = &known.container
        && let SandboxPhase::In(state) = known.phase
        && state != SandboxState::Created
        && !grace.is_zero()
    {
        terminate(shared, container, state == SandboxState::Paused, grace).await;
    }
    clear(shared, &handle.identity).await?;
    shared.removed(handle.id());
    Ok(())
}

/// Asks a container to end, and waits for that so long. What fails here is forced next.
async fn terminate(shared: &Shared, container: &str, paused: bool, grace: Duration) {
    let (docker, clock) = (&shared.config.engine.docker, &shared.config.clock);
    let forced = clock.sleep_until(clock.now() + grace);
    let graceful = async {
        let signal = KillContainerOptions {
            signal: TERMINATE.into(),
        };
        if paused {
            // A frozen one hears nothing.
            docker.unpause_container(container).await?;
        }
        docker.kill_container(container, Some(signal)).await?;
        let options = WaitContainerOptions {
            condition: "not-running".into(),
        };
        // However it ended is no failure of the wait.
        let _ = docker.wait_container(container, Some(options)).next().await;
        Ok::<_, bollard::errors::Error>(())
    };
    tokio::select! {
        biased;
        graceful = graceful => if let Err(error) = graceful {
            tracing::debug!(container, %error, "a container could not be asked to end");
        },
        () = forced => {}
    }
}

/// Has nothing of a sandbox be left.
pub(crate) async fn clear(shared: &Shared, identity: &Identity) -> Result<()> {
    let known = shared.known(identity.sandbox);
    let container = match known.and_then(|known| known.container) {
        Some(container) => Some(container),
        None => {
            let found = find(shared, identity.sandbox).await?;
            found.map(|(container, _)| container)
        }
    };
    erase(shared, identity, container.as_deref()).await
}

/// Removes the container of a sandbox, its directory, and its network if nobody else is there.
pub(crate) async fn erase(
    shared: &Shared,
    identity: &Identity,
    container: Option<&str>,
) -> Result<()> {
    if let Some(container) = container {
        remove(shared, container).await?;
    }
    if let Some(mounts) = &shared.mounts {
        mounts.remove(identity.sandbox).await?;
    }
    if let Some(network) = &identity.network {
        let _alone = shared.networks.lock().await;
        if !shared.others_are_on(network, identity.sandbox) {
            networks::remove(&shared.config, network).await;
        }
    }
    Ok(())
}

/// Removes a container, whatever it does, with its anonymous volumes.
async fn remove(shared: &Shared, container: &str) -> Result<()> {
    let docker = &shared.config.engine.docker;
    let options = RemoveContainerOptions {
        v: true,
        force: true,
        ..RemoveContainerOptions::default()
    };
    match docker.remove_container(container, Some(options)).await {
        Ok(()) => Ok(()),
        Err(error) if error::status(&error) == Some(404) => Ok(()),
        // Somebody else removes it: it is waited for.
        Err(error) if error::status(&error) == Some(409) => {
            let options = WaitContainerOptions {
                condition: "removed".into(),
            };
            let mut ends = docker.wait_container(container, Some(options));
            let _ = ends.next().await;
            match inspect(shared, container).await? {
                None => Ok(()),
                Some(_) => Err(error::engine(OPERATION, container, error)),
            }
        }
        Err(error) => Err(error::engine(OPERATION, container, error)),
    }
}
