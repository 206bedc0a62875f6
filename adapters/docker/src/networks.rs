//! Networks of the cluster's own: made when they are needed, removed with the last sandbox there.

use std::net::IpAddr;

use bollard::models::{NetworkCreateRequest, NetworkInspect};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptions};
use faas_core::{Error, Result};

use crate::config::DockerNodeBuilder;
use crate::container::{filter, owner};
use crate::error;
use crate::options::Network;

const OPERATION: &str = "prepare network";

/// The engine's name of its default bridge.
const BRIDGE: &str = "bridge";

/// What the engine is told.
pub(crate) fn mode(config: &DockerNodeBuilder, network: &Network) -> String {
    match network {
        Network::None => "none".into(),
        Network::Bridge => BRIDGE.into(),
        Network::Host => "host".into(),
        Network::Own(name) => own_name(config, name.as_str()),
    }
}

/// The name of one that is ours.
pub(crate) fn own(config: &DockerNodeBuilder, network: &Network) -> Option<String> {
    match network {
        Network::Own(name) => Some(own_name(config, name.as_str())),
        _ => None,
    }
}

fn own_name(config: &DockerNodeBuilder, name: &str) -> String {
    format!("faas-{}-{}-{name}", config.cluster, config.name)
}

async fn inspect(config: &DockerNodeBuilder, name: &str) -> Result<Option<NetworkInspect>> {
    let docker = &config.engine.docker;
    match docker
        .inspect_network(name, None::<InspectNetworkOptions>)
        .await
    {
        Ok(network) => Ok(Some(network)),
        Err(error) if error::status(&error) == Some(404) => Ok(None),
        Err(error) => Err(error::engine(OPERATION, name, error)),
    }
}

/// Has one of ours be there. Asked twice at once, the engine would make two: one is asked at a time.
pub(crate) async fn ensure(config: &DockerNodeBuilder, name: &str) -> Result<()> {
    if inspect(config, name).await?.is_some() {
        return Ok(());
    }
    let request = NetworkCreateRequest {
        name: name.into(),
        driver: Some(BRIDGE.into()),
        labels: Some(owner(config)),
        ..NetworkCreateRequest::default()
    };
    match config.engine.docker.create_network(request).await {
        Err(error) if error::status(&error) != Some(409) => {
            Err(error::engine(OPERATION, name, error))
        }
        _ => Ok(()),
    }
}

/// Removes one of ours, unless somebody is still there.
pub(crate) async fn remove(config: &DockerNodeBuilder, name: &str) {
    match config.engine.docker.remove_network(name).await {
        Err(error) if !matches!(error::status(&error), Some(403 | 404)) => {
            tracing::warn!(network = name, %error, "a network is left");
        }
        _ => {}
    }
}

/// Removes all of ours on which nobody is.
pub(crate) async fn remove_unused(config: &DockerNodeBuilder) -> Result<()> {
    let options = ListNetworksOptions {
        filters: Some(filter(config)),
    };
    let listed = config.engine.docker.list_networks(Some(options)).await;
    let listed = listed.map_err(|e| error::engine("list networks", "ours", e))?;
    for name in listed.into_iter().filter_map(|network| network.name) {
        remove(config, &name).await;
    }
    Ok(())
}

/// Where containers on the default bridge reach us.
pub(crate) async fn gateway(config: &DockerNodeBuilder) -> Result<IpAddr> {
    let bridge = inspect(config, BRIDGE).await?;
    let pools = bridge
        .and_then(|bridge| bridge.ipam?.config)
        .unwrap_or_default();
    let gateways = pools.into_iter().filter_map(|pool| pool.gateway);
    let gateway = gateways.filter_map(|text| text.parse().ok()).next();
    gateway.ok_or_else(|| {
        Error::unavailable(
            OPERATION,
            "the engine's bridge has no gateway, or is not there",
        )
    })
}
