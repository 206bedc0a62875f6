//! The rules of [`Exec`]'s contract as tests: run them with
//! [`exec_conformance!`](crate::exec_conformance).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::{ErrorKind, Result, SandboxId};
use futures::future::BoxFuture;

use super::fixture::{id, running};
use crate::NodeAgent;
use crate::agent::Exec;
use crate::spec::SandboxSpec;

/// How many commands run in a sandbox now.
pub type Commands = Box<dyn Fn(SandboxId) -> BoxFuture<'static, usize> + Send + Sync>;

/// The most that a command's output is kept of.
const KEPT: usize = 1 << 20;

/// A fresh agent that can run commands, and commands for it.
#[non_exhaustive]
pub struct Fixture {
    /// The agent; it runs nothing yet.
    pub agent: Arc<dyn NodeAgent>,
    /// Runs until it is stopped, and has `GREETING=hello` in its environment.
    pub lasting: SandboxSpec,
    /// Writes the value of `GREETING` to one output, `oops` to the other, and exits with 7.
    pub speaks: Vec<String>,
    /// Writes more than 1 MiB, and exits with 0.
    pub floods: Vec<String>,
    /// Is ended by the signal 9.
    pub dies: Vec<String>,
    /// Lasts until it is ended.
    pub lasts: Vec<String>,
    /// How many of these run.
    pub commands: Commands,
    /// How long anything may take: 10 s unless it is changed.
    pub patience: Duration,
    /// What must live as long as the agent: directories, runtimes.
    pub keep: Box<dyn std::any::Any + Send + Sync>,
}

impl Fixture {
    /// A fixture of commands of a POSIX shell.
    pub fn shell(agent: Arc<dyn NodeAgent>, lasting: SandboxSpec, commands: Commands) -> Self {
        let shell = |script: &str| ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Self {
            agent,
            lasting,
            speaks: shell("echo $GREETING; echo oops >&2; exit 7"),
            floods: shell(
                "i=0; while [ $i -lt 40000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done",
            ),
            dies: shell("kill -9 $$"),
            lasts: shell("while :; do sleep 1; done"),
            commands,
            patience: Duration::from_secs(10),
            keep: Box::new(()),
        }
    }

    async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let bounded = tokio::time::timeout(self.patience, future).await;
        bounded.unwrap_or_else(|_| panic!("{what} took longer than {:?}", self.patience))
    }

    fn capability(&self) -> Arc<dyn Exec> {
        self.agent.exec().expect("an agent that can run commands")
    }

    async fn exec(&self, sandbox: SandboxId, command: &[String]) -> Result<(i32, Bytes)> {
        let answer = self.capability();
        let answer = answer.exec(sandbox, command.to_vec());
        self.soon("exec", answer).await
    }

    async fn start(&self) -> SandboxId {
        let id = id();
        let ensured = self.agent.ensure(running(id, &self.lasting));
        self.soon("ensure", ensured).await.expect("it starts");
        id
    }

    async fn stop(&self, id: SandboxId) {
        let stopped = self.agent.stop(id, Duration::from_secs(1));
        self.soon("stop", stopped).await.expect("it can be stopped");
    }

    /// Waits until so many commands run; nobody reports that.
    async fn until_commands(&self, id: SandboxId, count: usize) {
        let poll = async {
            while (self.commands)(id).await != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        self.soon(&format!("{count} commands"), poll).await;
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

/// One case: takes a fresh fixture, and panics if the rule does not hold.
pub type Case = fn(Fixture) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// Every case by the name of its rule.
        pub const CASES: &[(&str, Case)] =
            &[$((stringify!($case), |fixture| Box::pin($case(fixture)))),*];
    };
}
cases! { answers_outcome runs_inside refuses_bad needs_running exec_cancels }

/// Expands to one `#[tokio::test]` per rule of [`Exec`](crate::agent::Exec)'s contract. Takes an
/// `async` closure that makes a fresh [`Fixture`](crate::agent::conformance::exec::Fixture).
#[macro_export]
macro_rules! exec_conformance {
    ($factory:expr) => {
        $crate::exec_conformance! { @cases $factory;
            answers_outcome runs_inside refuses_bad needs_running exec_cancels
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::agent::conformance::exec::$case(($factory)().await).await;
        }
    )*};
}

/// "`exec` answers when the command has ended, with its exit code (128 and the signal's number if one
/// ended it) and the first 1 MiB of what it wrote to either output."
pub async fn answers_outcome(fixture: Fixture) {
    let id = fixture.start().await;
    let (code, output) = fixture.exec(id, &fixture.speaks).await.expect("it runs");
    let output = String::from_utf8_lossy(&output);
    assert_eq!(code, 7);
    assert!(
        output.contains("hello") && output.contains("oops"),
        "{output}"
    );
    let (code, output) = fixture.exec(id, &fixture.floods).await.expect("it runs");
    assert_eq!((code, output.len()), (0, KEPT));
    let (code, _) = fixture.exec(id, &fixture.dies).await.expect("it runs");
    assert_eq!(code, 128 + 9);
    fixture.stop(id).await;
}

/// "The command sees the files and the environment of the sandbox."
pub async fn runs_inside(fixture: Fixture) {
    let id = fixture.start().await;
    let write = ["/bin/sh", "-c", "echo there > from-a-command"].map(str::to_owned);
    let read = [
        "/bin/sh",
        "-c",
        "echo $GREETING; read -r it < from-a-command && echo $it",
    ];
    let (code, _) = fixture.exec(id, &write).await.expect("it runs");
    assert_eq!(code, 0, "it cannot write");
    let (_, output) = fixture
        .exec(id, &read.map(str::to_owned))
        .await
        .expect("it runs");
    assert_eq!(&output[..], b"hello\nthere\n");
    fixture.stop(id).await;
}

/// "An empty command, or one that cannot be started, answers `InvalidArgument`."
pub async fn refuses_bad(fixture: Fixture) {
    let id = fixture.start().await;
    let missing = vec!["/no/such/program".to_owned()];
    let nul = vec!["/bin/sh".to_owned(), "a\0b".to_owned()];
    for command in [vec![], missing, nul] {
        let refused = fixture.exec(id, &command).await;
        let error = refused.expect_err("it cannot run");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    fixture.stop(id).await;
}

/// "A sandbox that is not there, or does not run, answers `NotFound`."
pub async fn needs_running(fixture: Fixture) {
    let id = fixture.start().await;
    fixture.stop(id).await;
    let refused = fixture.exec(id, &fixture.speaks).await;
    let error = refused.expect_err("it does not run");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// "Dropping the future ends the command."
pub async fn exec_cancels(fixture: Fixture) {
    let id = fixture.start().await;
    assert_eq!((fixture.commands)(id).await, 0);
    let (capability, lasts) = (fixture.capability(), fixture.lasts.clone());
    let running = tokio::spawn(async move { capability.exec(id, lasts).await });
    fixture.until_commands(id, 1).await;
    running.abort();
    fixture.until_commands(id, 0).await;
    fixture.stop(id).await;
}
