//! The suite of W1's contract; the registry must compile the language of the Rust builder.

use std::sync::Arc;

use faas_core::{ErrorKind, Namespace, WorkflowName};

use super::{
    Definition, DefinitionFaults, RegisterWorkflow, WorkflowInfo, WorkflowRef, WorkflowRegistry,
    WorkflowVersion,
};
use crate::builder::{Expression, WorkflowBuilder};

/// A fresh registry.
pub type Subject = Arc<dyn WorkflowRegistry>;

/// The names of all cases.
pub const CASES: &[&str] = &[
    "validates_all",
    "versions_rise",
    "idempotent",
    "precondition",
    "compiled_once",
    "namespaces_apart",
    "deleted",
];

/// Runs the case of that name.
pub async fn run(case: &str, subject: Subject) {
    match case {
        "validates_all" => validates_all(subject).await,
        "versions_rise" => versions_rise(subject).await,
        "idempotent" => idempotent(subject).await,
        "precondition" => precondition(subject).await,
        "compiled_once" => compiled_once(subject).await,
        "namespaces_apart" => namespaces_apart(subject).await,
        "deleted" => deleted(subject).await,
        other => panic!("there is no case {other}"),
    }
}

fn names() -> (Namespace, WorkflowName) {
    (
        Namespace::default(),
        WorkflowName::new("flow").expect("a name"),
    )
}

fn newest() -> WorkflowRef {
    let (namespace, name) = names();
    WorkflowRef::latest(namespace, name)
}

fn definition(output: i64) -> Definition {
    let builder = WorkflowBuilder::new().output(Expression::literal(output));
    builder.build().expect("a valid workflow")
}

fn request(output: i64) -> RegisterWorkflow {
    let (namespace, name) = names();
    RegisterWorkflow::new(namespace, name, definition(output))
}

async fn register(subject: &Subject, output: i64) -> WorkflowInfo {
    let info = subject.register(request(output)).await;
    info.expect("a valid definition is registered")
}

/// "`register` refuses a definition with `InvalidArgument` that names every fault with its path,
/// and then keeps nothing of it."
pub async fn validates_all(subject: Subject) {
    let text = r#"{"tasks":[{"name":"a","run":{"function":"f"},"after":["x"]},
        {"name":"b","run":{"function":"f"},"after":["y"]}]}"#;
    let mut faulty = request(1);
    faulty.definition.text = text.into();
    let error = subject.register(faulty).await.expect_err("it is faulty");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    for path in ["/tasks/0/after/0", "/tasks/1/after/0"] {
        assert!(
            error.message().contains(path),
            "{path} is not named: {error}"
        );
    }
    let source = std::error::Error::source(&error);
    let faults = source.and_then(|source| source.downcast_ref::<DefinitionFaults>());
    assert_eq!(
        faults.map(|faults| faults.0.len()),
        Some(2),
        "the source tells the faults"
    );
    let kept = subject.get(&newest()).await;
    assert!(kept.is_err(), "a faulty definition was kept");
}

/// "each new definition (or setting) of a name gets the next number, from 1; versions never change."
pub async fn versions_rise(subject: Subject) {
    for output in 1..=3 {
        let version = register(&subject, output).await.version;
        assert_eq!(version, WorkflowVersion(output as u64));
    }
    let mut kept = request(3);
    kept.settings.retention = Some(std::time::Duration::from_secs(1));
    let settings = kept.settings;
    let info = subject.register(kept).await.expect("it is registered");
    assert_eq!(
        (info.version, info.settings),
        (WorkflowVersion(4), settings)
    );
    let first = subject
        .get(&newest().at(WorkflowVersion(1)))
        .await
        .expect("it is there");
    assert_eq!(first.definition, definition(1));
    let last = subject.get(&newest()).await.expect("it is there");
    assert_eq!(last.definition, definition(3));
    let (namespace, name) = names();
    let versions = subject
        .versions(&namespace, &name)
        .await
        .expect("it is there");
    let numbers: Vec<_> = versions.iter().map(|info| info.version.0).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

/// "registering the newest definition with its settings again answers its version and makes none."
pub async fn idempotent(subject: Subject) {
    let first = register(&subject, 1).await;
    assert_eq!(register(&subject, 1).await, first);
    let (namespace, name) = names();
    let versions = subject
        .versions(&namespace, &name)
        .await
        .expect("it is there");
    assert_eq!(versions.len(), 1);
}

/// "`expected` that is not the newest version is a `Conflict` and changes nothing."
pub async fn precondition(subject: Subject) {
    register(&subject, 1).await;
    let mut stale = request(2);
    stale.expected = Some(WorkflowVersion(0));
    let error = subject
        .register(stale)
        .await
        .expect_err("the expectation is stale");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let kept = subject.get(&newest()).await.expect("it is there");
    assert_eq!(kept.info.version, WorkflowVersion(1));
    let mut fresh = request(2);
    fresh.expected = Some(WorkflowVersion(1));
    subject
        .register(fresh)
        .await
        .expect("the expectation holds");
}

/// "two `get`s of one version give the same program."
pub async fn compiled_once(subject: Subject) {
    register(&subject, 1).await;
    let first = subject.get(&newest()).await.expect("it is there");
    let again = subject
        .get(&newest().at(WorkflowVersion(1)))
        .await
        .expect("it is there");
    assert!(
        Arc::ptr_eq(&first.program, &again.program),
        "it was compiled twice"
    );
}

/// "equal names in two namespaces are two workflows."
pub async fn namespaces_apart(subject: Subject) {
    register(&subject, 1).await;
    let other = Namespace::new("other").expect("a name");
    let mut elsewhere = request(2);
    elsewhere.namespace = other.clone();
    let info = subject.register(elsewhere).await.expect("it is registered");
    assert_eq!(info.version, WorkflowVersion(1));
    let here = subject.get(&newest()).await.expect("it is there");
    assert_eq!(here.definition, definition(1));
    let listed = subject.list(&other).await.expect("it can be listed");
    assert_eq!(listed, [info]);
}

/// "after `delete` the name is neither found nor listed; its versions stay for the executions
/// pinned to them, found by number, and their numbers are not used again."
pub async fn deleted(subject: Subject) {
    register(&subject, 1).await;
    let (namespace, name) = names();
    subject
        .delete(&namespace, &name)
        .await
        .expect("it can be deleted");
    let gone = subject.get(&newest()).await.expect_err("it is deleted");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert!(
        subject
            .list(&namespace)
            .await
            .expect("it can be listed")
            .is_empty()
    );
    let pinned = subject.get(&newest().at(WorkflowVersion(1))).await;
    assert_eq!(
        pinned.expect("pinned versions stay").definition,
        definition(1)
    );
    assert_eq!(register(&subject, 1).await.version, WorkflowVersion(2));
    let again = subject
        .delete(&namespace, &WorkflowName::new("nobody").expect("a name"))
        .await;
    assert_eq!(again.expect_err("it never was").kind(), ErrorKind::NotFound);
}

/// Makes a test of each case of W1's suite; the factory is an expression of a type
/// `async Fn() -> Subject`.
#[macro_export]
macro_rules! workflow_registry_conformance {
    ($factory:expr) => {
        $crate::workflow_registry_conformance!(@cases $factory, validates_all versions_rise idempotent precondition compiled_once namespaces_apart deleted);
    };
    (@cases $factory:expr, $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::registry::conformance::$case(($factory)().await).await;
        }
    )*};
}
