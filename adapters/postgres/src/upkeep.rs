//! What is kept: the last changes of each space, the outcomes of the last minutes.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use faas_core::store::{Revision, Space};
use faas_core::{Clock, Result};

use crate::lanes::Shared;
use crate::pools::Pools;
use crate::queue::Bounds;

/// How often it is looked after.
const PAUSE: Duration = Duration::from_secs(30);

/// By the server's clock, and twice as long as promised, for clocks are set.
const PRUNE: &str = "DELETE FROM batch WHERE committed_at < now() - interval '20 minutes'";
const SPACES: &str = "SELECT id, revision FROM space WHERE watched";
/// The last revision that is one too many, but never the last of all.
const CUT: &str = "WITH sizes AS (
         SELECT revision, count(*) AS items,
             sum(octet_length(key) + coalesce(octet_length(value), 0)) AS bytes
         FROM change WHERE space = $1 GROUP BY revision
     ), totals AS (
         SELECT revision, sum(items) OVER newest AS items, sum(bytes) OVER newest AS bytes
         FROM sizes WINDOW newest AS (ORDER BY revision DESC)
     )
     SELECT max(revision) FROM totals
     WHERE (items > $2 OR bytes > $3) AND revision < (SELECT max(revision) FROM sizes)";
const COMPACT: &str = "WITH gone AS (DELETE FROM change WHERE space = $1 AND revision <= $2)
     UPDATE space SET compacted = greatest(compacted, least($2, revision)) WHERE id = $1";

/// Looks after it for as long as the store is there.
pub(crate) async fn run(store: Weak<Shared>, clock: Arc<dyn Clock>, kept: Bounds) {
    let mut seen = HashMap::new();
    loop {
        clock.sleep_until(clock.now() + PAUSE).await;
        let Some(shared) = store.upgrade() else {
            return;
        };
        if let Err(error) = tend(&shared.pools, kept, &mut seen).await {
            tracing::warn!(%error, "old changes and outcomes stay for a while");
        }
    }
}

/// Removes what need not be kept; `seen` holds the revisions of the last time.
pub(crate) async fn tend(pools: &Pools, kept: Bounds, seen: &mut HashMap<i32, i64>) -> Result<()> {
    pools.query("prune", PRUNE, &[]).await?;
    let spaces = pools.query("compact", SPACES, &[]).await?;
    for row in spaces {
        let (space, revision): (i32, i64) = (row.get(0), row.get(1));
        if seen.insert(space, revision) == Some(revision) {
            continue;
        }
        let bound = |bound| i64::try_from(bound).unwrap_or(i64::MAX);
        let (items, bytes) = (bound(kept.items), bound(kept.bytes));
        let found = pools
            .query("compact", CUT, &[&space, &items, &bytes])
            .await?;
        let cut = found.first().and_then(|row| row.get::<_, Option<i64>>(0));
        if let Some(end) = cut {
            pools.query("compact", COMPACT, &[&space, &end]).await?;
        }
    }
    Ok(())
}

/// Forgets the changes of a space up to a revision.
pub(crate) async fn compact(pools: &Pools, space: &Space, revision: Revision) -> Result<()> {
    let end = i64::try_from(revision.0).unwrap_or(i64::MAX);
    let id = "SELECT id FROM space WHERE name = $1";
    let found = pools.query("compact", id, &[&space.name()]).await?;
    if let Some(row) = found.first() {
        let id: i32 = row.get(0);
        pools.query("compact", COMPACT, &[&id, &end]).await?;
    }
    Ok(())
}
