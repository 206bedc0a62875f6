//! The victim: a platform under load.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas::Platform;
use faas::core::{ErrorKind, FunctionError, HandlerCall, HandlerReply, InvocationId, Payload};
use faas::function::InvocationQueue;
use faas::function::queue::Queued;
use faas::function::registry::{Alias, FunctionConfig};
use faas::resource::Executable;
use faas::resource::spec::{Packing, Program};
use faas::workflow::{Definition, Expression, WorkflowBuilder};
use tokio::time::timeout;

use super::journal::{Line, deeds, promises};
use super::{DIRECTORY, LAST, LIFE, MARK, orphans};

const STEPS: u64 = 3;
const NAMES: [&str; 2] = ["a", "b"];
/// The function that is a program.
pub(crate) const GUEST: &str = "guest";

/// Which of all lives this is.
fn life() -> u64 {
    let life = std::env::var(LIFE).expect("its number");
    life.parse().expect("a number")
}

/// One line, whole.
fn say(line: &Line) {
    let text = serde_json::to_string(line).expect("a line has a form in JSON");
    let mut output = std::io::stdout().lock();
    let said = output.write_all(format!("{MARK}{text}\n").as_bytes());
    if said.and_then(|()| output.flush()).is_err() {
        // Nobody listens: there is nothing left to do.
        std::process::exit(1);
    }
}

/// Writes down a deed: one write at the end of the file, which outlives this process.
fn write_down(directory: &Path, deed: &str) -> Result<(), FunctionError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(deeds(directory));
    let written = file.and_then(|mut file| file.write_all(format!("{deed}\n").as_bytes()));
    written.map_err(|error| FunctionError::new("Victim.Disk", error.to_string()))
}

async fn platform(directory: &Path) -> Platform {
    let (one, other) = (directory.to_owned(), directory.to_owned());
    // Its payload: the execution, and the step.
    let step = move |call: HandlerCall| {
        let directory = one.clone();
        async move {
            let (execution, step): (String, u64) = call.payload.to_json()?;
            write_down(&directory, &format!("task {execution} {step}"))?;
            Ok(HandlerReply::from(Payload::json(&(execution, step + 1))?))
        }
    };
    let note = move |call: HandlerCall| {
        let directory = other.clone();
        async move {
            let key = call.idempotency_key.as_deref().unwrap_or("none").to_owned();
            write_down(&directory, &format!("note {key}"))?;
            Ok(HandlerReply::from(call.payload))
        }
    };
    let built = Platform::builder()
        .data_dir(directory.join("data"))
        .process_root(directory.join("p"))
        .function_with("step", step, |config| config.concurrency = 100)
        .function_with("note", note, |config| config.concurrency = 100)
        .build();
    built.await.expect("what a kill left is opened")
}

fn steps() -> Definition {
    let name = |n: u64| format!("step-{n}");
    let all = (0..STEPS).fold(WorkflowBuilder::new(), |workflow, n| {
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

/// A function of a child process that must always have one instance: this very program.
async fn deploy_program(platform: &Platform) {
    let id = GUEST.parse().expect("a name");
    match platform.functions().get(&id).await {
        Ok(_) => return,
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
    }
    let this = std::env::current_exe().and_then(std::fs::read);
    let code = platform
        .functions()
        .code()
        .put(this.expect("this program").into());
    let program = Program {
        code: code.await.expect("it is kept"),
        packing: Packing::File,
        entrypoint: PathBuf::from("guest"),
        arguments: ["victim::guest", "--exact", "--nocapture"]
            .map(str::to_owned)
            .into(),
    };
    let runtime = "framed".parse().expect("a name");
    let mut config = FunctionConfig::new(runtime, Executable::Program(program));
    config.min_instances = 1;
    let deployed = platform.deploy(GUEST, config).await.expect("it deploys");
    let (name, revision) = (GUEST.to_owned(), deployed.latest.number.0);
    say(&Line::Deployed { name, revision });
}

/// What runs in a child of the victim; elsewhere it has nothing to do.
#[tokio::test]
async fn guest() {
    let Some(socket) = std::env::var_os("FAAS_SOCKET") else {
        return;
    };
    let echo = |call: HandlerCall| async move { Ok(HandlerReply::from(call.payload)) };
    let served = faas::runtimes::framed::guest::serve(Path::new(&socket), Arc::new(echo), 1).await;
    // The platform is gone, or was never there.
    drop(served);
}

/// Does nothing unless it is a child of the test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    if std::env::var_os("FAAS_SOCKET").is_some() {
        return;
    }
    let directory = PathBuf::from(directory);
    let platform = platform(&directory).await;
    find(&platform).await;
    say(&Line::Ready);
    if std::env::var_os(LAST).is_some() {
        return finish(platform, &directory).await;
    }
    deploy_program(&platform).await;
    let registered = platform.register_workflow("steps", steps()).await;
    registered.expect("it compiles");
    let loads = [
        tokio::spawn(deploys(platform.clone())),
        tokio::spawn(queues(platform.clone())),
        tokio::spawn(queues(platform.clone())),
        tokio::spawn(executions(platform.clone())),
    ];
    for load in loads {
        load.await.expect("it goes on until it is killed");
    }
}

/// Says what is there.
async fn find(platform: &Platform) {
    for name in NAMES.into_iter().chain([GUEST]) {
        match platform
            .functions()
            .get(&name.parse().expect("a name"))
            .await
        {
            Ok(record) => {
                let revision = record.latest.number.0;
                say(&Line::FoundFunction {
                    name: name.to_owned(),
                    revision,
                });
                for alias in record.aliases.values() {
                    let revision = alias.weights.keys().next().expect("a revision").0;
                    say(&Line::FoundAlias { revision });
                }
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
}

/// Deploys the functions in turn, and moves the alias of the first.
async fn deploys(platform: Platform) {
    for n in 1.. {
        let runtime = "handler".parse().expect("a name");
        let handler = Executable::Handler("nobody".parse().expect("a name"));
        let mut config = FunctionConfig::new(runtime, handler);
        // Something that differs in each revision.
        config.timeout = Duration::from_secs(1) + Duration::from_nanos(life() * 100_000 + n);
        let name = NAMES[n as usize % NAMES.len()];
        let record = platform.deploy(name, config).await.expect("it deploys");
        let revision = record.latest.number;
        say(&Line::Deployed {
            name: name.to_owned(),
            revision: revision.0,
        });
        if name == NAMES[0] {
            say(&Line::Moving {
                revision: revision.0,
            });
            let alias = Alias::to("live".parse().expect("a name"), revision);
            platform.set_alias(name, alias).await.expect("it is set");
            say(&Line::Moved {
                revision: revision.0,
            });
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn queues(platform: Platform) {
    loop {
        match platform.call_async("note", "it").await {
            Ok(id) => say(&Line::Queued {
                key: id.to_string(),
            }),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn executions(platform: Platform) {
    for n in 0.. {
        let name = format!("life-{}-{n}", life());
        let started = platform.start_execution("steps", &name, &(&name, 0)).await;
        started.expect("it starts");
        say(&Line::Started { name });
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Until an asynchronous invocation has ended.
async fn ended(platform: &Platform, id: InvocationId) {
    loop {
        match platform.queue().find(id).await {
            Ok(Queued::Pending { .. }) => tokio::time::sleep(Duration::from_millis(2)).await,
            Ok(other) => panic!("{id} did not succeed: {other:?}"),
            Err(error) => return assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
}

/// Waits for all that was promised, and shuts down.
async fn finish(platform: Platform, directory: &Path) {
    let promised = std::fs::read_to_string(promises(directory)).expect("promises");
    for promise in promised.lines() {
        let Some(name) = promise.strip_prefix("execution ") else {
            let id = promise.strip_prefix("invocation ").expect("a promise");
            let ended = ended(&platform, id.parse().expect("an id"));
            timeout(Duration::from_secs(60), ended)
                .await
                .expect("in time");
            continue;
        };
        let input = (name, 0);
        let joined = platform.execute::<_, (String, u64)>("steps", name, &input);
        let output = timeout(Duration::from_secs(60), joined).await;
        let output = output.expect("in time").expect("it succeeds");
        assert_eq!(output, (name.to_owned(), STEPS));
        say(&Line::Finished {
            name: name.to_owned(),
        });
    }
    let answer = timeout(Duration::from_secs(60), platform.call::<_, u64>(GUEST, &7)).await;
    assert_eq!(answer.expect("in time").expect("it runs"), 7);
    say(&Line::Instances {
        count: orphans::processes(directory).len(),
    });
    platform
        .shutdown(Duration::from_secs(20))
        .await
        .expect("it drains");
}
