//! PostgreSQL servers in directories of their own, reached by a Unix socket: no port is taken.
//!
//! The server's keeper is a shell that ends it when the test's process ends, however it ends.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// Reads commands: `stop MODE` (a signal), `start`. Answers each with a line.
const KEEPER: &str = r#"
directory=$1
start() {
    postgres -D "$directory/data" -k "$directory" -c listen_addresses= -c max_connections=400 \
        -c logging_collector=off >>"$directory/log" 2>&1 &
    server=$!
    tries=0
    until pg_isready -q -h "$directory" -U faas -d postgres; do
        tries=$((tries + 1))
        if [ $tries -gt 600 ] || ! kill -0 $server 2>/dev/null; then
            tail -20 "$directory/log" >&2
            echo failed
            return
        fi
        sleep 0.05
    done
    echo ready
}
trap '' INT TERM
initdb -D "$directory/data" -U faas -A trust -E UTF8 --locale=C >"$directory/log" 2>&1 \
    || { tail -20 "$directory/log" >&2; echo failed; rm -rf "$directory"; exit 1; }
start
while read -r command mode; do
    case $command in
        stop) kill -"$mode" $server; wait $server; echo stopped ;;
        start) start ;;
    esac
done
kill -QUIT $server
wait $server
rm -rf "$directory"
"#;

#[derive(Debug)]
pub(crate) struct Server {
    directory: PathBuf,
    keeper: Mutex<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// A server of the test's own; `None`, said loudly, where there is none to start.
    pub(crate) fn start() -> Option<Self> {
        let programs = programs();
        if programs.is_none() {
            let required = std::env::var("FAAS_REQUIRE").unwrap_or_default();
            assert!(
                !required.split(',').any(|name| name == "postgres"),
                "FAAS_REQUIRE names postgres, and there is no PostgreSQL server to start"
            );
            eprintln!("SKIPPED: there is no PostgreSQL server to start (apt: postgresql)");
        }
        Some(Self::started(&programs?))
    }

    /// One server for all tests that leave it running.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Server>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    fn started(programs: &Path) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("faas-pg-")
            .tempdir()
            .expect("a directory")
            .keep();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "keeper"])
            .arg(&directory)
            .env("PATH", format!("{}:{path}", programs.display()))
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some((user, group)) = server_user() {
            chown(&directory, Some(user), Some(group)).expect("the directory changes hands");
            command.uid(user).gid(group);
        }
        let mut child = command.spawn().expect("a shell");
        let keeper = Keeper {
            commands: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().expect("its output")),
            child,
        };
        let server = Self {
            directory,
            keeper: Mutex::new(keeper),
        };
        server.expect("ready");
        server
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "host={} user=faas dbname=postgres",
            self.directory.display()
        )
    }

    /// The server's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join(".s.PGSQL.5432")
    }

    /// Ends the server with a signal: `INT` cuts all sessions, `QUIT` is as a crash.
    pub(crate) fn stop(&self, signal: &str) {
        self.command(&format!("stop {signal}"));
        self.expect("stopped");
    }

    pub(crate) fn start_again(&self) {
        self.command("start");
        self.expect("ready");
    }

    fn command(&self, command: &str) {
        let mut keeper = self.keeper.lock().expect("no panic");
        let commands = keeper.commands.as_mut().expect("it listens");
        writeln!(commands, "{command}").expect("it listens");
    }

    fn expect(&self, answer: &str) {
        let mut line = String::new();
        let mut keeper = self.keeper.lock().expect("no panic");
        keeper.answers.read_line(&mut line).expect("an answer");
        assert_eq!(line.trim(), answer, "the server's keeper");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().expect("no panic");
        drop(keeper.commands.take());
        let _ = keeper.child.wait();
    }
}

/// Where `initdb` and `postgres` are: Debian keeps them out of the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let debian = versions.flatten().map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = debian.chain(std::env::split_paths(&path)).collect();
    places.retain(|place| place.join("initdb").exists() && place.join("postgres").exists());
    places.into_iter().max()
}

/// A server refuses to run as root: then it runs as the user that its package made.
fn server_user() -> Option<(u32, u32)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let root = line.split_whitespace().nth(1)? == "0";
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let postgres = users.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = postgres.filter(|_| root)?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
