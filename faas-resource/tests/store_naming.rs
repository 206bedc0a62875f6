//! The naming service over a store keeps the contract, also when several share the store.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{MemoryStore, TokioClock};
use faas_resource::NamingService;
use faas_resource::naming::{Bind, Path, StoreNaming};

fn naming(store: &MemoryStore) -> StoreNaming {
    StoreNaming::new(Arc::new(store.clone()), Arc::new(TokioClock::new()))
}

mod memory {
    use super::{MemoryStore, naming};
    faas_resource::naming_service_conformance!(async || naming(&MemoryStore::new()));
}

/// Another service over the same store tries to end the same leases.
mod shared {
    use super::{MemoryStore, naming};
    use faas_resource::naming::conformance::Fixture;

    faas_resource::naming_service_conformance!(async || {
        let store = MemoryStore::new();
        Fixture::new(naming(&store)).keeping(naming(&store))
    });
}

fn path(text: &str) -> Path {
    Path::new(text).expect("a valid path")
}

#[tokio::test(start_paused = true)]
async fn another_service_ends_the_leases_of_one_that_is_gone() {
    let store = MemoryStore::new();
    let one = naming(&store);
    let lease = one.grant(Duration::from_secs(60)).await.unwrap();
    let mut bind = Bind::new(path("a"), "1");
    bind.lease = Some(lease);
    let revision = one.bind(bind).await.unwrap();
    drop(one);
    let other = naming(&store);
    let found = other.resolve(&path("a")).await.unwrap().unwrap();
    assert_eq!((found.revision, found.lease), (revision, Some(lease)));
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(other.resolve(&path("a")).await.unwrap().is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(other.resolve(&path("a")).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_on_after_the_last_clone() {
    let store = Arc::new(MemoryStore::new());
    let one = StoreNaming::new(store.clone(), Arc::new(TokioClock::new()));
    let two = one.clone();
    one.grant(Duration::from_secs(1)).await.unwrap();
    drop((one, two));
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&store), 1, "the task holds the store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn services_that_race_agree_on_one_order() {
    let store = MemoryStore::new();
    let racers = (0..4).map(|racer| {
        let naming = naming(&store);
        tokio::spawn(async move {
            let mut revisions = Vec::new();
            for number in 0..50 {
                let bind = Bind::new(path(&format!("r{racer}/{number}")), "x");
                revisions.push(naming.bind(bind).await.expect("a name of its own"));
            }
            revisions
        })
    });
    let racers: Vec<_> = racers.collect();
    let mut all = Vec::new();
    for racer in racers {
        let revisions = racer.await.expect("no panic");
        assert!(revisions.is_sorted(), "{revisions:?}");
        all.extend(revisions);
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 200, "every bind has a revision of its own");
}
