//! A platform with a data directory, killed at any moment: this very program is the victim.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use faas::Platform;
use faas::core::{HandlerCall, HandlerReply, Payload, Qualifier};
use faas::function::registry::{Alias, FunctionId};
use faas::workflow::{Definition, Expression, WorkflowBuilder};

const DIRECTORY: &str = "FAAS_TEST_DATA_DIRECTORY";
const EXECUTIONS: u64 = 20;
const STEPS: u64 = 5;

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("an answer in time")
}

/// A platform whose function `step` adds one, and takes a little while.
async fn platform(directory: &Path) -> Platform {
    let step = |call: HandlerCall| async move {
        let n: u64 = call.payload.to_json()?;
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(HandlerReply::from(Payload::json(&(n + 1))?))
    };
    let built = Platform::builder()
        .data_dir(directory)
        .function_with("step", step, |config| config.concurrency = 100)
        .build();
    within(built).await.expect("the directory is sound")
}

fn steps() -> Definition {
    let name = |n: u64| format!("step-{n}");
    let first = WorkflowBuilder::new();
    let all = (0..STEPS).fold(first, |workflow, n| {
        workflow.task(&name(n), "step", |task| {
            task.input(match n {
                0 => Expression::input(""),
                _ => Expression::result(name(n - 1), ""),
            })
        })
    });
    let last = Expression::result(name(STEPS - 1), "");
    all.output(last).build().expect("it is well-formed")
}

/// What runs in the victim: it starts executions, says of each that it is acknowledged, and runs on.
#[tokio::test]
async fn victim() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let platform = platform(Path::new(&directory)).await;
    platform
        .register_workflow("steps", steps())
        .await
        .expect("it compiles");
    for n in 0..EXECUTIONS {
        let name = format!("execution-{n}");
        let started = platform.start_execution("steps", &name, &n).await;
        started.expect("it starts");
        println!("acknowledged {n}");
    }
    std::future::pending().await
}

struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets a victim run until it has acknowledged so many executions, and kills it. Answers how many
/// it had acknowledged by then.
fn kill_after(directory: &Path, executions: usize) -> usize {
    let this = std::env::current_exe().expect("this program");
    let child = Command::new(this)
        .args(["victim", "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut victim = Victim(child.expect("it starts"));
    let output = victim.0.stdout.take().expect("a pipe");
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    let mut acknowledged = lines.filter(|line| line.contains("acknowledged"));
    let before = acknowledged.by_ref().take(executions).count();
    // SIGKILL: nothing of it can tidy up.
    victim.0.kill().expect("it can be killed");
    // What it said before it died was acknowledged, too.
    before + acknowledged.count()
}

#[tokio::test]
async fn what_was_acknowledged_survives_sigkill_and_goes_on() {
    // At its first execution, in the midst of them, and after the last.
    for executions in [1, 7, 20] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        let killed = tokio::task::spawn_blocking(move || kill_after(&path, executions));
        let acknowledged = killed.await.expect("no panic") as u64;
        assert!(
            acknowledged >= executions as u64,
            "the victim said too little"
        );
        let platform = platform(directory.path()).await;
        for n in 0..acknowledged {
            let name = format!("execution-{n}");
            let joined = platform.execute::<_, u64>("steps", &name, &n);
            assert_eq!(within(joined).await.expect("it succeeds"), n + STEPS);
        }
        let end = platform.shutdown(Duration::from_secs(20));
        within(end).await.expect("it drains");
    }
}

#[tokio::test]
async fn functions_aliases_and_workflows_are_as_they_were() {
    let directory = tempfile::tempdir().expect("a directory");
    let id = FunctionId {
        namespace: Default::default(),
        name: "step".parse().expect("a name"),
    };
    let first = platform(directory.path()).await;
    let registered = first.register_workflow("steps", steps()).await;
    registered.expect("it compiles");
    let record = first.functions().get(&id).await.expect("it is declared");
    let alias = Alias::to("prod".parse().expect("a name"), record.latest.number);
    first.set_alias("step", alias).await.expect("it is set");
    let two: u64 = within(first.call("step@prod", &1)).await.expect("it runs");
    assert_eq!(two, 2);
    // Its directory is its own.
    let second = Platform::builder().data_dir(directory.path()).build().await;
    let error = second.expect_err("it is in use");
    assert!(error.to_string().contains("state.sqlite"), "{error}");
    within(first.shutdown(Duration::from_secs(20)))
        .await
        .expect("it drains");
    drop(first);

    let again = platform(directory.path()).await;
    let kept = again.functions().get(&id).await.expect("it is kept");
    assert_eq!(kept.latest.number, record.latest.number, "nothing changed");
    assert_eq!(kept.aliases.len(), 1);
    let three: u64 = within(again.call("step@prod", &2)).await.expect("it runs");
    assert_eq!(three, 3);
    let answer: u64 = within(again.execute("steps", "one", &1))
        .await
        .expect("the workflow is there");
    assert_eq!(answer, 1 + STEPS);
    let reference: faas::core::FunctionRef = "step@prod".parse().expect("a reference");
    assert!(matches!(reference.qualifier, Qualifier::Alias(_)));
}

#[tokio::test]
async fn built_programs_are_kept_with_their_code() {
    use faas::function::builder::{BuildRequest, Source};
    let directory = tempfile::tempdir().expect("a directory");
    let program: PathBuf = directory.path().join("program");
    std::fs::write(&program, "#!/bin/sh\nexit 3\n").expect("a file");
    let data = directory.path().join("data");
    let first = platform(&data).await;
    let runtime = "provided".parse().expect("a name");
    let request = BuildRequest::new(runtime, Source::File(program));
    let built = first.build("script", request, |_| {}).await;
    let revision = built.expect("it is taken as it is").latest.clone();
    let faas::resource::Executable::Program(program) = &revision.config.executable else {
        panic!("a program")
    };
    within(first.shutdown(Duration::from_secs(20)))
        .await
        .expect("it drains");
    drop(first);
    let again = platform(&data).await;
    let code = again.functions().code().get(&program.code).await;
    assert_eq!(code.expect("it is kept"), &b"#!/bin/sh\nexit 3\n"[..]);
}
