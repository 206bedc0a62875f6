//! Endpoints in the naming service, bound and unbound in order, beside the path of a start.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{Clock, Error, ErrorKind, NodeName, Result, SandboxId};
use tokio::sync::mpsc;

use crate::NamingService;
use crate::endpoint::Endpoint;
use crate::naming::{Bind, Expected, Path};

/// How often a name is attempted; naming is for others to find sandboxes by, and no start depends
/// on it.
const ATTEMPTS: u32 = 5;
const WAIT: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) enum NamingJob {
    Bind(NodeName, SandboxId, Endpoint),
    Unbind(NodeName, SandboxId),
}

pub(super) async fn serve(
    naming: Option<Arc<dyn NamingService>>,
    clock: Arc<dyn Clock>,
    mut jobs: mpsc::UnboundedReceiver<NamingJob>,
) {
    while let Some(job) = jobs.recv().await {
        let Some(naming) = &naming else { continue };
        for attempt in 1..=ATTEMPTS {
            let Err(error) = carry_out(&**naming, &job).await else {
                break;
            };
            tracing::warn!(%error, ?job, attempt, "a sandbox's name is not as it should be");
            clock.sleep_until(clock.now() + WAIT * attempt).await;
        }
    }
}

async fn carry_out(naming: &dyn NamingService, job: &NamingJob) -> Result<()> {
    match job {
        NamingJob::Bind(node, sandbox, Endpoint::Address(address)) => {
            let value = serde_json::to_vec(address).map_err(|error| {
                Error::internal("bind endpoint", "an address has no form in JSON")
                    .with_source(error)
            })?;
            let mut bind = Bind::new(path(node, *sandbox)?, value);
            match naming.bind(bind.clone()).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                other => return other.map(drop),
            }
            // An earlier life of this process has bound it.
            if let Some(record) = naming.resolve(&bind.path).await? {
                bind.expected = Expected::At(record.revision);
            }
            naming.bind(bind).await.map(drop)
        }
        // What dials is for this process alone.
        NamingJob::Bind(_, _, Endpoint::Dial(_)) => Ok(()),
        NamingJob::Unbind(node, sandbox) => naming.unbind(&path(node, *sandbox)?, None).await,
    }
}

fn path(node: &NodeName, sandbox: SandboxId) -> Result<Path> {
    Path::new(format!("sandboxes/{node}/{sandbox}"))
}
