//! From the building of a manager to its end, and over to the next.

use std::sync::Arc;
use std::time::Duration;

use faas_core::ErrorKind;
use faas_core::store::Revision;
use faas_resource::naming::{Bind, NamingEvent, Path, StoreNaming};
use faas_resource::scheduler::FilterScore;
use faas_resource::{NamingService, NodeAgent, ResourceLayer};
use futures::StreamExt;

use crate::common::{apply, cluster, gone, hook_name, next, ready, scale};

#[tokio::test(start_paused = true)]
async fn a_restart_adopts_and_starts_nothing_twice() {
    let cluster = cluster();
    let spec = cluster.spec("echo");
    {
        let layer = cluster.start().await;
        let mut events = layer.manager().watch();
        apply(&layer, &spec).await;
        scale(&layer, spec.id, 3).await;
        for _ in 0..3 {
            ready(&mut events).await;
        }
    }
    let before = cluster.node.list().await.expect("a good test");
    let layer = cluster.start().await;
    let mut events = layer.manager().watch();
    scale(&layer, spec.id, 4).await;
    while layer
        .manager()
        .get(spec.id)
        .await
        .expect("a good test")
        .replicas
        .len()
        < 4
    {
        next(&mut events).await;
    }
    ready(&mut events).await;
    let told = cluster.hook.0.lock().expect("a good test").clone();
    assert_eq!(told.iter().filter(|(what, _)| *what == "resume").count(), 3);
    assert_eq!(
        told.iter().filter(|(what, _)| *what == "prepare").count(),
        4
    );
    let after = cluster.node.list().await.expect("a good test");
    assert!(
        before
            .iter()
            .all(|old| after.iter().any(|new| new.id == old.id))
    );
    layer
        .shutdown(Duration::from_secs(5))
        .await
        .expect("a good test");
    assert!(cluster.node.list().await.expect("a good test").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_changed_spec_replaces_the_replicas() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let mut spec = cluster.spec("echo");
    spec.min = 1;
    let mut events = layer.manager().watch();
    apply(&layer, &spec).await;
    let old = ready(&mut events).await;
    apply(&layer, &spec).await;
    spec.sandbox.environment.insert("A".into(), "1".into());
    apply(&layer, &spec).await;
    assert_eq!(gone(&mut events).await.sandbox, old.sandbox);
    let status = layer.manager().get(spec.id).await.expect("a good test");
    assert!(
        status
            .replicas
            .iter()
            .all(|replica| replica.sandbox != old.sandbox)
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_it_leaves_no_task() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let spec = cluster.spec("echo");
    apply(&layer, &spec).await;
    scale(&layer, spec.id, 2).await;
    drop(layer);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&cluster.node), 1, "a task holds the node");
}

#[tokio::test(start_paused = true)]
async fn the_builder_names_every_fault() {
    let error = ResourceLayer::builder()
        .concurrent_starts(0)
        .build()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().starts_with("3 faults"), "{error}");
    let cluster = cluster();
    let layer = cluster.start().await;
    let mut spec = cluster.spec("echo");
    spec.max = 0;
    spec.sandbox.hook = Some("nobody".parse().expect("a good test"));
    let error = layer.manager().apply(spec).await.unwrap_err();
    assert!(error.message().starts_with("2 faults"), "{error}");
    assert!(
        layer
            .manager()
            .list()
            .await
            .expect("a good test")
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_bound_and_unbound() {
    let cluster = cluster();
    let naming = Arc::new(StoreNaming::new(
        cluster.store.clone(),
        cluster.clock.clone(),
    ));
    let layer = ResourceLayer::builder()
        .agent(cluster.node.clone())
        .scheduler(FilterScore::default())
        .naming(naming.clone())
        .hook(hook_name(), cluster.hook.clone())
        .build()
        .await
        .expect("a layer");
    let spec = cluster.spec("echo");
    let mut events = layer.manager().watch();
    apply(&layer, &spec).await;
    let prefix = Path::new("sandboxes").expect("a path");
    let mut names = naming.watch(&prefix, Revision::default());
    scale(&layer, spec.id, 1).await;
    let replica = ready(&mut events).await;
    let bound = names.next().await.expect("no end").expect("no error");
    let NamingEvent::Bound(record) = bound else {
        panic!("{bound:?} instead of a name");
    };
    let path = format!("sandboxes/one/{}", replica.sandbox);
    assert_eq!(record.path.as_str(), path);
    scale(&layer, spec.id, 0).await;
    let unbound = names.next().await.expect("no end").expect("no error");
    assert!(matches!(unbound, NamingEvent::Unbound(name, _) if name.as_str() == path));
}

#[tokio::test(start_paused = true)]
async fn names_of_the_dead_of_an_earlier_life_are_swept() {
    let cluster = cluster();
    let naming = Arc::new(StoreNaming::new(
        cluster.store.clone(),
        cluster.clock.clone(),
    ));
    let life = async || {
        let layer = ResourceLayer::builder()
            .agent(cluster.node.clone())
            .scheduler(FilterScore::default())
            .store(cluster.store.clone())
            .naming(naming.clone())
            .hook(hook_name(), cluster.hook.clone());
        layer.build().await.expect("a layer")
    };
    let spec = cluster.spec("echo");
    let all = Path::new("sandboxes").expect("a path");
    let mut names = naming.watch(&all, Revision::default());
    let [survivor, dead] = {
        let layer = life().await;
        let mut events = layer.manager().watch();
        apply(&layer, &spec).await;
        scale(&layer, spec.id, 2).await;
        let (one, other) = (ready(&mut events).await, ready(&mut events).await);
        for _ in 0..2 {
            let bound = names.next().await.expect("no end").expect("no error");
            assert!(matches!(bound, NamingEvent::Bound(_)), "{bound:?}");
        }
        drop(layer);
        // It ends while nobody is there to see it.
        let stopped = cluster.node.stop(other.sandbox, Duration::ZERO).await;
        stopped.expect("it stops");
        [one, other].map(|replica| format!("sandboxes/one/{}", replica.sandbox))
    };
    let elsewhere = Path::new("sandboxes/two/0000000000000000000000000000000f");
    let elsewhere = elsewhere.expect("a path");
    naming
        .bind(Bind::new(elsewhere.clone(), "theirs"))
        .await
        .expect("it is bound");
    let _layer = life().await;
    let unbound = loop {
        let change = names.next().await.expect("no end").expect("no error");
        if let NamingEvent::Unbound(name, _) = change {
            break name;
        }
    };
    assert_eq!(unbound.as_str(), dead, "the wrong name was swept");
    let here = Path::new("sandboxes/one").expect("a path");
    let (left, _) = naming.list(&here).await.expect("it answers");
    let left: Vec<_> = left.iter().map(|name| name.path.as_str()).collect();
    assert_eq!(left, [survivor]);
    let theirs = naming.resolve(&elsewhere).await.expect("it answers");
    assert!(theirs.is_some(), "the name of another node is not ours");
}
