//! A platform in this process: closures, and a word-count map/reduce workflow over the text files
//! of this repository.
//!
//! Run it with `cargo run --example quickstart`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use faas::Platform;
use faas::core::{ContentType, FunctionError, Payload};
use faas::workflow::{
    Ending, Expression, RegisterWorkflow, StartExecution, WorkflowBuilder, WorkflowEngine,
    WorkflowRegistry,
};

type Counts = BTreeMap<String, u64>;
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let platform = Platform::builder().name("quickstart").build().await?;
    platform
        .deploy_json("count-words", |path: PathBuf| async move { count(&path) })
        .await?;
    platform
        .deploy_json(
            "merge-counts",
            |all: Vec<Counts>| async move { Ok(merge(all)) },
        )
        .await?;

    let files = text_files(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    println!("counting the words of {} files\n", files.len());
    let counts = run_workflow(&platform, &files).await?;
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    for (word, count) in ranked.iter().take(10) {
        println!("{count:>6}  {word}");
    }

    // A function of its own, so that the first call is a cold start and the second is warm.
    platform
        .deploy_json(
            "shout",
            |text: String| async move { Ok(text.to_uppercase()) },
        )
        .await?;
    let input = Payload::new(r#""hello""#, ContentType::JSON);
    let cold = platform.run("shout", input.clone()).await?;
    let warm = platform.run("shout", input).await?;
    println!(
        "\n{}: {}\n{}: {}",
        cold.start, cold.trailer.timeline, warm.start, warm.trailer.timeline
    );
    println!("\nwhy the cold one waited:\n{}", platform.explain(cold.id));
    println!("{}", platform.map());

    platform.shutdown(Duration::from_secs(10)).await?;
    Ok(())
}

/// Counts the words of each file, and merges the counts.
async fn run_workflow(platform: &Platform, files: &[PathBuf]) -> Outcome<Counts> {
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
    let workflows = platform.workflows();
    let register = RegisterWorkflow::new("default".parse()?, "word-count".parse()?, definition);
    workflows.registry().register(register).await?;

    let input = serde_json::json!({ "files": files });
    let name = "quickstart".to_owned().try_into()?;
    let start = StartExecution::new("word-count".parse()?, name, input);
    let started = workflows.engine().start(start).await?;
    let ended = workflows.engine().wait(started.id).await?;
    match ended.ending {
        Some(Ending::Succeeded(output)) => Ok(serde_json::from_value((*output).clone())?),
        other => Err(format!("the workflow did not succeed: {other:?}").into()),
    }
}

fn count(path: &Path) -> Result<Counts, FunctionError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| FunctionError::new("Files.Unreadable", format!("{path:?}: {error}")))?;
    let mut counts = Counts::new();
    for word in text
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| word.len() > 3)
    {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    Ok(counts)
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
