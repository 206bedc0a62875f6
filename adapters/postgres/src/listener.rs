//! What other processes committed: NOTIFY, and a look now and then for what NOTIFY misses (a
//! pooler between us and the server, a connection that died unseen).

use std::sync::{Arc, Weak};
use std::time::Duration;

use faas_core::store::Revision;
use faas_core::{Clock, Result};
use futures::StreamExt;
use futures::future::{Either, select};
use tokio_postgres::AsyncMessage;

use crate::error::postgres;
use crate::lanes::Shared;

/// How often all watches look by themselves.
const LOOK: Duration = Duration::from_secs(5);
/// How long a lost connection waits before it is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens for as long as the store is there, whatever becomes of its connections.
pub(crate) async fn run(store: Weak<Shared>, clock: Arc<dyn Clock>) {
    while let Some(shared) = store.upgrade() {
        let (pools, channel) = (shared.pools.clone(), shared.channel.clone());
        drop(shared);
        let listened = listen(&store, &pools, &channel, &*clock).await;
        if let Err(error) = listened {
            tracing::warn!(%error, "no news of other processes for a while");
        }
        clock.sleep_until(clock.now() + PAUSE).await;
        look(&store);
    }
}

fn look(store: &Weak<Shared>) -> bool {
    let shared = store.upgrade();
    if let Some(shared) = &shared {
        shared.hub.look();
    }
    shared.is_some()
}

/// Ends when the connection or the store does.
async fn listen(
    store: &Weak<Shared>,
    pools: &crate::pools::Pools,
    channel: &str,
    clock: &dyn Clock,
) -> Result<()> {
    let (client, mut messages) = pools.connect().await?;
    let listen = format!("LISTEN {channel}");
    let listening = std::pin::pin!(client.batch_execute(&listen));
    // The connection does nothing unless its messages are asked for.
    let mut listening = Some(listening);
    let mut look_at = clock.now() + LOOK;
    loop {
        let message = match listening.take() {
            Some(asked) => match select(asked, messages.next()).await {
                Either::Left((answer, _)) => {
                    answer.map_err(|error| postgres("listen", error))?;
                    // What was committed before it listened.
                    look(store);
                    continue;
                }
                Either::Right((message, asked)) => {
                    listening = Some(asked);
                    message
                }
            },
            None => match select(messages.next(), clock.sleep_until(look_at)).await {
                Either::Left((message, _)) => message,
                Either::Right(_) => {
                    look_at = clock.now() + LOOK;
                    if !look(store) {
                        return Ok(());
                    }
                    continue;
                }
            },
        };
        match message {
            Some(Ok(AsyncMessage::Notification(notification))) => {
                let Some(shared) = store.upgrade() else {
                    return Ok(());
                };
                if let Some((revision, space)) = notification.payload().split_once(' ')
                    && let Ok(revision) = revision.parse()
                {
                    shared.hub.publish(space, Revision(revision));
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(postgres("listen", error)),
            None => return Ok(()),
        }
    }
}
