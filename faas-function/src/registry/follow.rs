//! A registry, followed for as long as anybody looks.

use std::sync::Arc;

use faas_core::Clock;
use futures::stream::{self, BoxStream, StreamExt};

use super::{FunctionRecord, MetadataStore, RegistryEvent};
use crate::backoff::Backoff;

/// What a follower learns.
#[derive(Debug, Clone)]
pub(crate) enum Followed {
    /// These are all functions there are: what is not among them is gone.
    All(Vec<Arc<FunctionRecord>>),
    /// One change.
    One(RegistryEvent),
}

struct Follower {
    metadata: Arc<dyn MetadataStore>,
    clock: Arc<dyn Clock>,
    backoff: Backoff,
    changes: Option<BoxStream<'static, faas_core::Result<RegistryEvent>>>,
}

/// All functions, and then their changes. When a watch fails, all functions again: what fell
/// between the two is in the difference. It does not end.
pub(crate) fn follow(
    metadata: Arc<dyn MetadataStore>,
    clock: Arc<dyn Clock>,
) -> BoxStream<'static, Followed> {
    let follower = Follower {
        metadata,
        clock,
        backoff: Backoff::default(),
        changes: None,
    };
    stream::unfold(follower, |mut follower| async {
        Some((follower.next().await, follower))
    })
    .boxed()
}

impl Follower {
    async fn next(&mut self) -> Followed {
        loop {
            let followed = match &mut self.changes {
                None => self.list().await,
                Some(changes) => match changes.next().await {
                    Some(Ok(change)) => Some(Followed::One(change)),
                    Some(Err(error)) => {
                        tracing::warn!(%error, "the registry is listed again");
                        None
                    }
                    None => None,
                },
            };
            if let Some(followed) = followed {
                if let Followed::One(_) = followed {
                    self.backoff.reset();
                }
                return followed;
            }
            self.changes = None;
            self.backoff.pause(&*self.clock).await;
        }
    }

    async fn list(&mut self) -> Option<Followed> {
        match self.metadata.list(None).await {
            Ok((records, revision)) => {
                self.changes = Some(self.metadata.watch(revision));
                Some(Followed::All(records))
            }
            Err(error) => {
                tracing::warn!(%error, "the registry cannot be listed");
                None
            }
        }
    }
}
