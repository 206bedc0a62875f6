//! The control loop, between parts that only write down what it tells them.

mod world;

use std::time::Duration;

use faas_core::{AliasName, Clock, Error, Monotonic, RevisionNumber};
use faas_function::MetadataStore;
use faas_function::control::Control;
use faas_function::registry::{Alias, AliasChange};
use tokio::sync::mpsc;

use world::{AsMany, Spy, World, config, function, id};

#[tokio::test(start_paused = true)]
async fn what_is_registered_is_prepared_and_minimum_instances_need_no_demand() {
    let mut world = World::new().start();
    world.create("none", 0).await;
    world.expect(&["prepare default/none@1"]).await;
    world.create("some", 2).await;
    let told = ["prepare default/some@1", "deploy 2 of default/some@1"];
    world.expect(&told).await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn demand_is_decided_on_once() {
    let mut world = World::new().start();
    world.create("f", 0).await;
    world.expect(&["prepare default/f@1"]).await;
    world.demand(id("f", 1), 3, 0);
    world.expect(&["deploy 3 of default/f@1"]).await;
    world.demand(id("f", 1), 4, 1);
    // Two more are being started.
    world.expect(&["deploy 4 of default/f@1"]).await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_superseded_revision_is_removed_once_unless_an_alias_names_it() {
    let mut world = World::new().start();
    world.create("f", 1).await;
    let told = ["prepare default/f@1", "deploy 1 of default/f@1"];
    world.expect(&told).await;
    let live = AliasName::new("live").expect("a name");
    let alias = |number| AliasChange::Set(Alias::to(live.clone(), RevisionNumber(number)));
    let set = world
        .registry
        .set_alias(&function("f"), alias(1), None)
        .await;
    set.expect("set");
    let updated = world.registry.update(&function("f"), config(0), None).await;
    updated.expect("updated");
    world.expect(&["prepare default/f@2"]).await;
    let moved = world
        .registry
        .set_alias(&function("f"), alias(2), None)
        .await;
    moved.expect("moved");
    world.expect(&["remove default/f@1"]).await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn an_old_revision_that_is_called_by_its_number_has_instances_until_nobody_calls_it() {
    let mut world = World::new();
    world.create("f", 0).await;
    let updated = world.registry.update(&function("f"), config(0), None).await;
    updated.expect("updated");
    world = world.start();
    world.expect(&["prepare default/f@2"]).await;
    world.demand(id("f", 1), 1, 0);
    let told = ["prepare default/f@1", "deploy 1 of default/f@1"];
    world.expect(&told).await;
    world.demand(id("f", 1), 0, 1);
    world.expect(&["remove default/f@1"]).await;
    world.demand(id("f", 1), 0, 0);
    world.silence().await;
    // Nobody has seen revision 9.
    world.demand(id("f", 9), 1, 0);
    assert!(world.next().await.starts_with("refuse default/f@9: "));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_noticed_though_the_watch_was_broken() {
    let mut world = World::new().start();
    for name in ["kept", "lost"] {
        world.create(name, 1).await;
        let told = [
            format!("prepare default/{name}@1"),
            format!("deploy 1 of default/{name}@1"),
        ];
        let told = told.each_ref().map(String::as_str);
        world.expect(&told).await;
    }
    world.registry.broken.notify_one();
    // The watch is over before time passes, and the next list is after it has.
    tokio::task::yield_now().await;
    let deleted = world.registry.delete(&function("lost"), None).await;
    deleted.expect("deleted");
    world.expect(&["remove default/lost@1"]).await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_life_left_is_removed() {
    let mut world = World::after(vec![id("f", 1), id("gone", 1)]);
    world.create("f", 0).await;
    let updated = world.registry.update(&function("f"), config(0), None).await;
    updated.expect("updated");
    world = world.start();
    let mut told = [world.next().await, world.next().await, world.next().await];
    told.sort();
    let expected = [
        "prepare default/f@2",
        "remove default/f@1",
        "remove default/gone@1",
    ];
    assert_eq!(told, expected);
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_life_left_counts() {
    let mut world = World::after(vec![id("f", 1)]);
    world.create("f", 1).await;
    world = world.start();
    // One is the minimum, and two are there: the policy knows of both.
    let told = ["prepare default/f@1", "deploy 1 of default/f@1"];
    world.expect(&told).await;
    let mut world = World::after(vec![id("f", 1)]);
    world.create("f", 2).await;
    world = world.start();
    world.expect(&["prepare default/f@1"]).await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_deployment_holds_up_no_other() {
    let mut world = World::new().start();
    world.create("slow", 1).await;
    let told = ["prepare default/slow@1", "deploy 1 of default/slow@1"];
    world.expect(&told).await;
    world.create("fast", 1).await;
    let told = ["prepare default/fast@1", "deploy 1 of default/fast@1"];
    world.expect(&told).await;
    world.demand(id("slow", 1), 2, 0);
    world.demand(id("slow", 1), 3, 0);
    world.silence().await;
    // Only the newest wish is carried out then.
    world.deployer.gate.add_permits(2);
    world.expect(&["deploy 3 of default/slow@1"]).await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_deployment_is_tried_again() {
    let mut world = World::new().start();
    let away = Error::unavailable("deploy", "it is away");
    *world.deployer.errors.lock().expect("nobody panics") = [away.clone(), away].into();
    let begin = world.clock.now();
    world.create("f", 1).await;
    world.expect(&["prepare default/f@1"]).await;
    world.expect(&["deploy 1 of default/f@1"; 3]).await;
    let took = world.clock.now().since(begin);
    assert!(
        took >= Duration::from_millis(300),
        "without a pause: {took:?}"
    );
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_cannot_be_is_refused_and_does_not_spin() {
    let mut world = World::new().start();
    world.create("f", 0).await;
    world.expect(&["prepare default/f@1"]).await;
    let never = Error::unsupported("deploy", "no such contract");
    *world.deployer.errors.lock().expect("nobody panics") = vec![never; 100].into();
    world.demand(id("f", 1), 1, 0);
    let told = [
        "deploy 1 of default/f@1",
        "refuse default/f@1: no such contract",
    ];
    world.expect(&told).await;
    // As the policy still wants it, it is tried now and then.
    let mut tries = 0;
    let minute = tokio::time::sleep(Duration::from_secs(60));
    tokio::pin!(minute);
    loop {
        tokio::select! {
            () = &mut minute => break,
            told = world.told.recv() => tries += usize::from(told.is_some()),
        }
    }
    assert!((1..40).contains(&tries), "{tries} in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_never_content_does_not_make_it_spin() {
    let policy = AsMany {
        wake: Some(Monotonic::ZERO),
    };
    let mut world = World::new().start_with(policy);
    world.create("f", 1).await;
    let told = ["prepare default/f@1", "deploy 1 of default/f@1"];
    world.expect(&told).await;
    // Paused time goes on only while nothing runs.
    let next = tokio::time::timeout(Duration::from_secs(1), world.told.recv()).await;
    assert!(next.is_err(), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_deleted_function_is_not_asked_for() {
    let mut world = World::new().start();
    world.create("f", 1).await;
    let told = ["prepare default/f@1", "deploy 1 of default/f@1"];
    world.expect(&told).await;
    let deleted = world.registry.delete(&function("f"), None).await;
    deleted.expect("deleted");
    world.expect(&["remove default/f@1"]).await;
    world.demand(id("f", 1), 0, 1);
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn the_policy_is_told_of_the_limit() {
    let world = World::new();
    let (sender, mut seen) = mpsc::unbounded_channel();
    let mut parts = world.parts();
    let limit = faas_core::Resources::new(faas_core::Millicpu(7), faas_core::ByteSize::gib(1));
    parts.limit = Some(limit.clone());
    let _control = Control::start(parts, Box::new(Spy(sender)), 7);
    assert_eq!(seen.recv().await, Some(Some(limit)));
}
