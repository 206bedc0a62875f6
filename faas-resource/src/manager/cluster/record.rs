//! What is stored of a workload: its spec. How many replicas run is soft.

use faas_core::encoding::{Stored, decode, encode};
use faas_core::store::{Batch, Key, KeyRange, Precondition, Scan, Space};
use faas_core::{Result, Store, WorkloadId};
use serde::{Deserialize, Serialize};

use crate::workload::WorkloadSpec;

const WORKLOADS: Space = Space::unwatched("workloads");

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct StoredWorkload(WorkloadSpec);

impl Stored for StoredWorkload {
    const KIND: &'static str = "workload";
    const VERSION: u32 = 1;
}

fn key(workload: WorkloadId) -> Key {
    Key::new(workload.to_string())
}

pub(super) async fn save(store: &dyn Store, spec: &WorkloadSpec) -> Result<()> {
    let value = encode(&StoredWorkload(spec.clone()))?;
    let batch = Batch::new().put(WORKLOADS, key(spec.id), value, Precondition::Any);
    store.commit(batch).await.map(drop)
}

pub(super) async fn delete(store: &dyn Store, workload: WorkloadId) -> Result<()> {
    let batch = Batch::new().delete(WORKLOADS, key(workload), Precondition::Any);
    store.commit(batch).await.map(drop)
}

pub(super) async fn load(store: &dyn Store) -> Result<Vec<WorkloadSpec>> {
    let mut all = Vec::new();
    let mut range = KeyRange::all();
    loop {
        let page = store.scan(Scan::new(WORKLOADS, range.clone())).await?;
        for entry in &page.entries {
            all.push(decode::<StoredWorkload>(&entry.value)?.0);
        }
        match page.entries.last() {
            Some(last) if page.more => range = range.after(&last.key),
            _ => return Ok(all),
        }
    }
}
