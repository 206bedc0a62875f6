//! [`MemoryStore`] keeps the contract of `Store`, and behaves as a naive model does.

use faas_core::store::conformance::Fixture;
use faas_core::store::{MemoryStore, Revision, Space};

fn fixture() -> Fixture {
    let store = MemoryStore::new();
    let compacting = store.clone();
    Fixture::new(store).compacting(Box::new(move |space: Space, revision: Revision| {
        compacting.compact(&space, revision);
        Box::pin(async {})
    }))
}

mod conformance {
    faas_core::store_conformance!(async || super::fixture());
}

mod through_a_pointer {
    use std::sync::Arc;

    faas_core::store_conformance!(async || Arc::new(Box::new(super::MemoryStore::new())));
}
