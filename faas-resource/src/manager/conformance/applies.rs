//! What `apply` does.

use faas_core::{ErrorKind, Name};

use super::Fixture;
use crate::workload::{Constraint, Priority};

/// "What `apply` acknowledged is in the store; applying the same again changes nothing."
pub async fn apply_is_durable(fixture: Fixture) {
    let (spec, replicas, _) = fixture.run(1).await;
    fixture.apply(&spec).await;
    let running = (fixture.running)().await;
    assert!(running.contains(&replicas[0].sandbox), "it was replaced");
    let other = fixture.spec();
    fixture.apply(&other).await;
    let fixture = fixture.next_life().await;
    for spec in [spec, other] {
        let stored = fixture.get(spec.id).await;
        assert_eq!(*stored.spec, spec, "it is not as it was applied");
    }
}

/// "Applying a changed sandbox spec, or changed placement rules, replaces the replicas; changed
/// bounds or a changed priority keep them."
pub async fn apply_replaces(fixture: Fixture) {
    let (mut spec, replicas, mut events) = fixture.run(1).await;
    let first = replicas[0].sandbox;
    (spec.min, spec.max, spec.priority) = (1, 7, Priority(3));
    fixture.apply(&spec).await;
    assert_eq!(*fixture.get(spec.id).await.spec, spec);
    spec.sandbox.environment.insert("A".into(), "1".into());
    fixture.apply(&spec).await;
    // Had the bounds replaced it, another would have gone first, or been ready.
    assert_eq!(fixture.gone(&mut events, spec.id).await.sandbox, first);
    let second = fixture.ready(&mut events, spec.id).await.sandbox;
    assert_ne!(second, first);
    let nowhere = Name::new("no-node-is-called-so").expect("a name");
    let unlike = Constraint::Unlike(Name::new("node").expect("a name"), [nowhere].into());
    spec.rules.constraints.push(unlike);
    fixture.apply(&spec).await;
    assert_eq!(fixture.gone(&mut events, spec.id).await.sandbox, second);
    assert_ne!(fixture.ready(&mut events, spec.id).await.sandbox, second);
}

/// "A bad spec answers `InvalidArgument` with every fault and changes nothing."
pub async fn apply_validates(fixture: Fixture) {
    let mut spec = fixture.spec();
    spec.max = 0;
    spec.sandbox.environment.insert("A=B".into(), "1".into());
    let id = spec.id;
    let error = fixture.manager.apply(spec).await.expect_err("a bad spec");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let all = error.message().contains("A=B") && error.message().contains("no replica");
    assert!(all, "{error} does not tell every fault");
    assert!(fixture.manager.get(id).await.is_err(), "it was kept");
}
