//! The engine's events, and what was missed of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerSummary, EventMessage};
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use faas_core::{Result, SandboxId};
use faas_resource::agent::NodeEvent;
use futures::StreamExt;

use crate::container::{Identity, SANDBOX, filter};
use crate::sandbox::{self, look};
use crate::table::Shared;
use crate::{error, observe};

/// The pauses between two attempts to hear the engine: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Enters what the engine has of ours: takes up what nobody here has made, and looks at the rest.
pub(crate) async fn reconcile(shared: &Shared) -> Result<()> {
    let before = shared.ids();
    let mut seen = HashSet::new();
    for container in list(shared).await? {
        let listed = container.state;
        let Some((container, identity)) = identity(shared, container) else {
            continue;
        };
        let id = identity.sandbox;
        seen.insert(id);
        match shared.known(id) {
            Some(known) if !observe::is_news(listed, &known.phase) => {}
            Some(_) => look(shared, id).await?,
            None => adopt(shared, container, identity).await?,
        }
    }
    for id in before.into_iter().filter(|id| !seen.contains(id)) {
        // It looks for what it has a container of.
        look(shared, id).await?;
    }
    Ok(())
}

async fn adopt(shared: &Shared, container: String, identity: Identity) -> Result<()> {
    let Some((_, found)) = sandbox::find(shared, identity.sandbox).await? else {
        return Ok(());
    };
    let Some(phase) = observe::phase(&found) else {
        return Ok(());
    };
    let directory = shared.directory(identity.sandbox);
    let address = observe::address(Some(&found), &identity.reached, directory.as_deref());
    shared.adopt(identity, container, phase, address);
    Ok(())
}

/// All containers that bear our labels.
pub(crate) async fn list(shared: &Shared) -> Result<Vec<ContainerSummary>> {
    let options = ListContainersOptions {
        all: true,
        filters: Some(filter(&shared.config)),
        ..ListContainersOptions::default()
    };
    let listed = shared
        .config
        .engine
        .docker
        .list_containers(Some(options))
        .await;
    listed.map_err(|e| error::engine("list sandboxes", shared.config.engine.address(), e))
}

pub(crate) fn identity(shared: &Shared, container: ContainerSummary) -> Option<(String, Identity)> {
    let identity = Identity::read(container.labels.as_ref()?, &shared.config)?;
    Some((container.id?, identity))
}

/// Follows the engine for ever: its events, and after each gap a look at everything.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut pause = PAUSE.0;
    let mut gap = false;
    loop {
        match hear(&shared, gap, &mut pause).await {
            Ok(()) => tracing::warn!(node = %shared.info.name, "the engine's events have ended"),
            Err(error) => {
                tracing::warn!(node = %shared.info.name, %error, "the engine is not heard")
            }
        }
        gap = true;
        let clock = &shared.config.clock;
        clock.sleep_until(clock.now() + pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

async fn hear(shared: &Shared, gap: bool, pause: &mut Duration) -> Result<()> {
    let docker = &shared.config.engine.docker;
    let unheard = |e| error::engine("follow engine", shared.config.engine.address(), e);
    // By the engine's own clock: what happens from here on is told, however late we listen.
    let since = docker.info().await.map_err(unheard)?.system_time;
    let mut filters = filter(&shared.config);
    filters.insert("type".into(), vec!["container".into()]);
    let mut events = Box::pin(docker.events(Some(EventsOptions {
        since: since.as_deref().and_then(seconds),
        filters: Some(filters),
        ..EventsOptions::default()
    })));
    reconcile(shared).await?;
    if gap {
        shared.tell(NodeEvent::Resync);
    }
    *pause = PAUSE.0;
    while let Some(event) = events.next().await {
        take(shared, &event.map_err(unheard)?).await?;
    }
    Ok(())
}

/// Seconds and nanoseconds since 1970, as the engine wants to be told.
fn seconds(time: &str) -> Option<String> {
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(format!(
        "{}.{:09}",
        time.as_second(),
        time.subsec_nanosecond()
    ))
}

async fn take(shared: &Shared, event: &EventMessage) -> Result<()> {
    let attributes = event
        .actor
        .as_ref()
        .and_then(|actor| actor.attributes.as_ref());
    let id = attributes.and_then(|attributes| attributes.get(SANDBOX)?.parse().ok());
    let (Some(id), Some(action)) = (id, event.action.as_deref()) else {
        return Ok(());
    };
    let news = match action {
        "die" | "destroy" => true,
        // Whoever works on it just now knows, and enters it.
        "start" | "pause" | "unpause" => !is_worked_on(shared, id),
        _ => false,
    };
    match news {
        true => look(shared, id).await,
        false => Ok(()),
    }
}

fn is_worked_on(shared: &Shared, id: SandboxId) -> bool {
    let handle = shared.handle(id);
    handle.is_some_and(|handle| handle.turn.try_lock().is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_the_engine_wants_them() {
        let told = seconds("2026-01-02T03:04:05.000000678Z");
        assert_eq!(told.as_deref(), Some("1767323045.000000678"));
        assert_eq!(seconds("yesterday"), None);
    }
}
