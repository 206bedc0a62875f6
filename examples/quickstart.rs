//! A platform in one process, at work: it builds a function for AWS Lambda from its Rust sources
//! and runs it in child processes, runs another one as a closure, and counts the words of the text
//! files of this repository with a map/reduce workflow over both.
//!
//! Run it with `cargo run --example quickstart`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use faas::Platform;
use faas::core::Payload;
use faas::function::builder::{BuildRequest, Source};
use faas::function::layer::BuildingEvent;
use faas::function::registry::FunctionId;
use faas::workflow::{Expression, WorkflowBuilder};
use futures::TryStreamExt;
use indicatif::ProgressBar;

type Counts = BTreeMap<String, u64>;
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let platform = Platform::builder()
        .name("quickstart")
        .build_cache(root.join("target/quickstart"))
        .build()
        .await?;

    // A source tree that knows nothing of this library: cargo builds it, child processes run it.
    build(
        &platform,
        "count-words",
        root.join("examples/functions/count-words"),
    )
    .await?;
    // A closure of this process.
    platform
        .deploy_json(
            "merge-counts",
            |all: Vec<Counts>| async move { Ok(merge(all)) },
        )
        .await?;

    // The first call starts a process; the second finds it there.
    let readme = Payload::json(&root.join("README.md"))?;
    let cold = platform.run("count-words", readme.clone()).await?;
    let warm = platform.run("count-words", readme).await?;
    println!("{}: {}", cold.start, cold.trailer.timeline);
    println!("{}: {}", warm.start, warm.trailer.timeline);
    println!("\nwhy the cold one waited:\n{}", platform.explain(cold.id));

    let files = text_files(root)?;
    println!("the words of {} files:", files.len());
    let mut counts: Vec<_> = count(&platform, &files).await?.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    for (word, count) in counts.iter().take(10) {
        println!("{count:>6}  {word}");
    }

    println!("\n{}", platform.map());
    platform.shutdown(Duration::from_secs(10)).await?;
    Ok(())
}

/// Builds a function from its Rust sources, and shows how that goes.
async fn build(platform: &Platform, name: &str, sources: PathBuf) -> Outcome {
    let request = BuildRequest::new("rust".parse()?, Source::Directory(sources));
    let function = FunctionId {
        namespace: Default::default(),
        name: name.parse()?,
    };
    let progress = ProgressBar::new_spinner().with_message(format!("building {name}"));
    progress.enable_steady_tick(Duration::from_millis(100));
    let layer = platform.functions();
    let mut events = layer.build_and_deploy(function, request, |config| {
        config.timeout = Duration::from_secs(10);
    });
    while let Some(event) = events.try_next().await? {
        if let BuildingEvent::Log(line) = event {
            progress.set_message(line);
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// Counts the words of each file, eight at a time, and merges the counts.
async fn count(platform: &Platform, files: &[PathBuf]) -> Outcome<Counts> {
    let definition = WorkflowBuilder::new()
        .task("map", "count-words", |task| {
            task.map(Expression::input("/files"), 8)
                .input(Expression::item(""))
        })
        .task("reduce", "merge-counts", |task| {
            task.input(Expression::result("map", ""))
        })
        .output(Expression::result("reduce", ""))
        .build()?;
    platform.register_workflow("word-count", definition).await?;
    let input = serde_json::json!({ "files": files });
    Ok(platform.execute("word-count", "quickstart", &input).await?)
}

fn merge(all: Vec<Counts>) -> Counts {
    let mut merged = Counts::new();
    for (word, count) in all.into_iter().flatten() {
        *merged.entry(word).or_default() += count;
    }
    merged
}

/// The Markdown files of the repository, without what was built.
fn text_files(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let hidden = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() && !hidden && !path.ends_with("target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
