//! Containers, child processes and closures under one router and one workflow: the words of the text
//! files of this repository are counted by containers and by processes, and merged by a closure.
//!
//! It needs a Docker Engine (at `DOCKER_HOST`, or the usual socket) that sees the files of this
//! machine, and the static BusyBox (Debian's `busybox-static`): the image is made of it, and no
//! registry is asked. Run it with `cargo run --features docker --example docker_node`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use faas::Platform;
use faas::core::{Name, Payload};
use faas::docker::{DockerBuilder, DockerNode, DockerOptions, Engine, Mount};
use faas::function::FunctionBuilder;
use faas::function::builder::{BuildEvent, BuildRequest, Source};
use faas::function::registry::FunctionConfig;
use faas::resource::Executable;
use faas::workflow::{Expression, WorkflowBuilder};
use futures::TryStreamExt;

type Counts = BTreeMap<String, u64>;
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let engine = Engine::from_environment().await?;
    let cluster: Name = format!("example-{}", std::process::id()).parse()?;
    let node = DockerNode::builder(cluster, "docker".parse()?, engine.clone());
    let node = Arc::new(node.build().await?);
    let platform = Platform::builder()
        .name("docker_node")
        .build_cache(root.join("target/docker_node"))
        .agent(node.clone())
        .build()
        .await?;

    let image = image(engine, &root.join("examples/functions/count-words-image")).await?;
    deploy(&platform, "count-in-containers", image, root).await?;
    let sources = Source::Directory(root.join("examples/functions/count-words"));
    let request = BuildRequest::new("rust".parse()?, sources);
    platform
        .build("count-in-processes", request, |_| {})
        .await?;
    platform
        .deploy_json("merge-counts", |all: Vec<Vec<Counts>>| async move {
            Ok(merge(all))
        })
        .await?;

    let readme = Payload::json(&root.join("README.md"))?;
    for function in ["count-in-containers", "count-in-processes"] {
        let cold = platform.run(function, readme.clone()).await?;
        let warm = platform.run(function, readme.clone()).await?;
        println!("{function}\n  {}: {}", cold.start, cold.trailer.timeline);
        println!("  {}: {}", warm.start, warm.trailer.timeline);
    }

    let counts = count(&platform, root).await?;
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    for (word, count) in counts.iter().take(10) {
        println!("{count:>6}  {word}");
    }
    println!("\n{}", platform.map());
    platform.shutdown(Duration::from_secs(10)).await?;
    Ok(node.clear().await?)
}

/// Builds the image from its tree and BusyBox.
async fn image(engine: Engine, tree: &Path) -> Outcome<Executable> {
    let context = tempfile::tempdir()?;
    for name in ["Dockerfile", "index.cgi"] {
        std::fs::copy(tree.join(name), context.path().join(name))?;
    }
    std::fs::copy("/bin/busybox", context.path().join("busybox"))?;
    let builder = DockerBuilder::new(vec!["container".parse()?], engine);
    let request = BuildRequest::new(
        "container".parse()?,
        Source::Directory(context.path().into()),
    );
    let mut events = builder.build(request);
    while let Some(event) = events.try_next().await? {
        match event {
            BuildEvent::Log(line) => println!("{line}"),
            BuildEvent::Done(artifact) => return Ok(artifact.executable),
            _ => {}
        }
    }
    Err("the build ended without an image".into())
}

/// Deploys an image that sees the files below `root`, and changes none of them.
async fn deploy(platform: &Platform, name: &str, image: Executable, root: &Path) -> Outcome {
    let mut options = DockerOptions::default();
    options.mounts.push(Mount {
        host: root.into(),
        guest: root.into(),
        writable: false,
    });
    let mut config = FunctionConfig::new("container".parse()?, image);
    config.extensions.set(&options)?;
    config.concurrency = 4;
    platform.deploy(name, config).await?;
    Ok(())
}

/// Counts the words of half of the files in containers and of the others in processes, and merges the
/// counts.
async fn count(platform: &Platform, root: &Path) -> Outcome<Counts> {
    let one = ["README.md", "ARCHITECTURE.md"].map(|name| root.join(name));
    let other = ["CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name));
    let definition = WorkflowBuilder::new()
        .task("containers", "count-in-containers", |task| {
            task.map(Expression::input("/one"), 4)
                .input(Expression::item(""))
        })
        .task("processes", "count-in-processes", |task| {
            task.map(Expression::input("/other"), 4)
                .input(Expression::item(""))
        })
        .task("reduce", "merge-counts", |task| {
            let results = ["containers", "processes"].map(|task| Expression::result(task, ""));
            task.input(Expression::list(results))
        })
        .output(Expression::result("reduce", ""))
        .build()?;
    platform.register_workflow("word-count", definition).await?;
    let input = serde_json::json!({ "one": one, "other": other });
    Ok(platform
        .execute("word-count", "docker_node", &input)
        .await?)
}

fn merge(all: Vec<Vec<Counts>>) -> Counts {
    let mut merged = Counts::new();
    for (word, count) in all.into_iter().flatten().flatten() {
        *merged.entry(word).or_default() += count;
    }
    merged
}
