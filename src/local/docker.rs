//! The feature `docker`: functions that are images. The nodes are the application's to add, by
//! [`PlatformBuilder::agent`](crate::PlatformBuilder::agent): it knows where its engines are.

use std::sync::Arc;

use faas_core::{Result, RuntimeName};
use faas_runtimes::Http;

use super::{Local, LocalOptions};

/// The runtime of images that are HTTP servers on `$PORT`.
const CONTAINER: &str = "container";

pub(super) fn add(local: &mut Local, options: &LocalOptions) -> Result<()> {
    let http = Http::new(options.clock.clone());
    let container = RuntimeName::new(CONTAINER)?;
    local.contracts.push((container, Arc::new(http)));
    #[cfg(not(all(feature = "process", target_os = "linux")))]
    add_hooked(local, options)?;
    Ok(())
}

/// Images that speak what programs speak; where there are programs, their feature brings these.
#[cfg(not(all(feature = "process", target_os = "linux")))]
fn add_hooked(local: &mut Local, options: &LocalOptions) -> Result<()> {
    use faas_core::HookName;
    use faas_runtimes::{FramedSocket, LambdaRuntime};

    let clock = &options.clock;
    let lambda = LambdaRuntime::new(HookName::new("lambda")?, clock.clone());
    let framed = FramedSocket::new(HookName::new("framed")?, clock.clone());
    let provided = RuntimeName::new("provided")?;
    local.contracts.push((provided, Arc::new(lambda)));
    let name = RuntimeName::new("framed")?;
    local.contracts.push((name, Arc::new(framed)));
    Ok(())
}
