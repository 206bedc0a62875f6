//! The builder of images against the conformance suite of function builders, and what it makes.

use std::path::Path;
use std::sync::Arc;

use faas_core::{ErrorKind, RuntimeName};
use faas_docker::{DockerBuilder, DockerOptions};
use faas_function::FunctionBuilder;
use faas_function::builder::conformance::{Fixture as Suite, GatedCode};
use faas_function::builder::{BuildEvent, BuildRequest, Prebuilt, Source};
use faas_resource::agent::EnsureSandbox;
use faas_resource::{Executable, NodeAgent, SandboxSpec};
use futures::TryStreamExt;

use crate::common::{Fixture, exit, running};
use crate::engine::{IMAGE, engine};

fn runtime() -> RuntimeName {
    "container".parse().expect("a name")
}

fn tree(below: &Path, name: &str, dockerfile: &str) -> BuildRequest {
    let root = below.join(name);
    std::fs::create_dir_all(&root).expect("test set-up");
    std::fs::write(root.join("Dockerfile"), dockerfile).expect("test set-up");
    BuildRequest::new(runtime(), Source::Directory(root))
}

/// Where there is no engine the suite runs over another builder, and the skip is said.
fn without_engine(below: tempfile::TempDir, code: GatedCode) -> Suite {
    let file = |name: &str| {
        let path = below.path().join(name);
        std::fs::write(&path, name).expect("test set-up");
        BuildRequest::new(runtime(), Source::File(path))
    };
    Suite {
        builder: Arc::new(Prebuilt::new(vec![runtime()], Arc::new(code))),
        good: file("good"),
        other: file("other"),
        bad: None,
        left: Box::new(Vec::new),
        guard: Box::new(below),
    }
}

async fn fixture(code: GatedCode) -> Suite {
    let below = tempfile::tempdir().expect("test set-up");
    let Some((engine, _)) = engine().await else {
        return without_engine(below, code);
    };
    let good = format!("FROM {IMAGE}\nRUN echo at work\nLABEL one=1\n");
    let other = format!("FROM {IMAGE}\nLABEL one=2\n");
    let bad = format!("FROM {IMAGE}\nRUN echo there is no way; exit 3\n");
    Suite {
        builder: Arc::new(DockerBuilder::new(vec![runtime()], engine)),
        good: tree(below.path(), "good", &good),
        other: tree(below.path(), "other", &other),
        bad: Some((tree(below.path(), "bad", &bad), "there is no way")),
        left: Box::new(Vec::new),
        guard: Box::new(below),
    }
}

faas_function::function_builder_conformance!(fixture);

async fn built(builder: &DockerBuilder, request: BuildRequest) -> (Executable, Vec<String>) {
    let (mut executable, mut log) = (None, Vec::new());
    let mut events = builder.build(request);
    while let Some(event) = events.try_next().await.expect("it is built") {
        match event {
            BuildEvent::Log(line) => log.push(line),
            BuildEvent::Done(artifact) => executable = Some(artifact.executable),
            other => panic!("{other:?}"),
        }
    }
    (executable.expect("an artifact"), log)
}

/// How what was built ends, run as it is.
async fn ends(ours: &Fixture, n: u128, executable: Executable) -> faas_resource::agent::ExitCause {
    let mut spec = SandboxSpec::new(executable);
    spec.extensions
        .set(&DockerOptions::default())
        .expect("good options");
    let request: EnsureSandbox = running(n, spec);
    let id = request.id;
    let mut events = ours.node.watch();
    ours.node.ensure(request).await.expect("it starts");
    let cause = exit(&mut events, id).await;
    ours.node
        .stop(id, std::time::Duration::ZERO)
        .await
        .expect("it stops");
    cause
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_of_trees_and_programs_run() {
    use faas_resource::agent::ExitCause::Code;
    let Some(ours) = Fixture::new().await else {
        return;
    };
    let builder = DockerBuilder::new(vec![runtime()], ours.engine.clone());
    let below = tempfile::tempdir().expect("test set-up");

    let dockerfile = format!(
        "FROM {IMAGE}\nCOPY Dockerfile /d\nRUN echo at work\nENTRYPOINT [\"/bin/sh\", \"-c\", \"test -f /d && exit 4\"]\n"
    );
    let (image, log) = built(&builder, tree(below.path(), "own", &dockerfile)).await;
    assert!(log.iter().any(|line| line == "at work"), "{log:?}");
    let Executable::Image(name) = &image else {
        panic!("{image:?}")
    };
    assert!(name.starts_with("sha256:"), "{name}");
    assert_eq!(ends(&ours, 1, image).await, Code(4));

    let sources = below.path().join("sources");
    std::fs::create_dir(&sources).expect("test set-up");
    std::fs::write(sources.join("main.sh"), "exit 5").expect("test set-up");
    let mut request = BuildRequest::new(runtime(), Source::Directory(sources));
    request.options = [("base", IMAGE), ("entrypoint", r#"["/bin/sh","main.sh"]"#)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let (image, _) = built(&builder, request.clone()).await;
    assert_eq!(ends(&ours, 2, image).await, Code(5));

    // A static program on nothing; called without an applet's name, BusyBox ends with 0.
    let program = BuildRequest::new(runtime(), Source::File("/bin/busybox".into()));
    let (image, _) = built(&builder, program).await;
    assert_eq!(ends(&ours, 3, image).await, Code(0));

    request.options.remove("entrypoint");
    let error = builder
        .cache_key(&request)
        .await
        .expect_err("what is to be started?");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_image_is_named_by_a_digest() {
    let Some((engine, docker)) = engine().await else {
        return;
    };
    let builder = DockerBuilder::new(vec![runtime()], engine);
    let Executable::Image(pinned) = builder.pin(IMAGE).await.expect("it is there") else {
        panic!("not an image");
    };
    let image = docker.inspect_image(&pinned).await.expect("the same image");
    let tags = image.repo_tags.unwrap_or_default();
    assert!(pinned.starts_with("sha256:") && tags.iter().any(|tag| tag == IMAGE));
    let error = builder.pin("faas-test/nobody-has-this:1").await;
    assert_eq!(
        error.expect_err("nobody has it").kind(),
        ErrorKind::NotFound
    );
}
