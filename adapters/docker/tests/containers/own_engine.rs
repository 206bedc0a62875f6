//! An engine of a test's own, which it stops and starts again.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use faas_core::ErrorKind;
use faas_docker::Engine;
use faas_resource::NodeAgent;
use faas_resource::agent::{NodeEvent, SandboxPhase};
use futures::StreamExt;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixDatagram, UnixStream};

use crate::common::{LASTING, SOON, builder, cluster, running, script};
use crate::engine::{image, required};

struct Daemon {
    process: Child,
    socket: String,
    /// Where it says that it is ready, as to systemd: sd_notify(3).
    notify: UnixDatagram,
    /// The other end is its standard input, and closed with it.
    lives: UnixStream,
}

impl Daemon {
    /// `None`, said aloud, where it cannot be started.
    fn start(below: &Path) -> Option<Self> {
        let path = |name: &str| below.join(name).display().to_string();
        let socket = format!("unix://{}", path("s"));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(below.join("log"));
        let log = log.expect("test set-up");
        // That of the last one may be there.
        let _ = std::fs::remove_file(below.join("n"));
        let notify = UnixDatagram::bind(below.join("n")).expect("test set-up");
        let (lives, stdin) = UnixStream::pair().expect("test set-up");
        let stdin = OwnedFd::from(stdin.into_std().expect("test set-up"));
        // In a network namespace of its own: without a bridge, an engine removes that of others.
        let started = Command::new("unshare")
            .args(["--net", "dockerd"])
            .args([
                "--host",
                &socket,
                "--data-root",
                &path("d"),
                "--exec-root",
                &path("e"),
            ])
            .args([
                "--pidfile",
                &path("pid"),
                "--bridge",
                "none",
                "--iptables=false",
            ])
            .env("NOTIFY_SOCKET", below.join("n"))
            .stdin(stdin)
            .stdout(log.try_clone().expect("test set-up"))
            .stderr(log)
            .spawn();
        match started {
            Ok(process) => Some(Self {
                process,
                socket,
                notify,
                lives,
            }),
            Err(error) => {
                assert!(!required(), "FAAS_REQUIRE names docker: dockerd: {error}");
                eprintln!("skipped: no Docker engine to start: {error}");
                None
            }
        }
    }

    async fn engine(&mut self) -> Option<Engine> {
        let (notify, lives) = (&self.notify, &mut self.lives);
        let ready = async {
            let mut said = [0; 64];
            loop {
                let length = notify.recv(&mut said).await.expect("test set-up");
                if said[..length].starts_with(b"READY=1") {
                    return true;
                }
            }
        };
        let starts = async {
            tokio::select! {
                ready = ready => ready,
                _ = lives.read_u8() => false,
            }
        };
        let started = tokio::time::timeout(SOON, starts).await;
        if started.expect("the engine is up in time") {
            return Some(Engine::at(&self.socket).await.expect("it is ready"));
        }
        let status = self.process.wait().expect("it has ended");
        assert!(!required(), "FAAS_REQUIRE names docker: dockerd: {status}");
        eprintln!("skipped: a Docker engine of our own does not start: {status}");
        None
    }

    /// As `systemctl stop docker` does it: its containers end with it.
    fn stop(mut self) {
        self.terminate();
    }

    fn terminate(&mut self) {
        let kill = Command::new("kill")
            .arg(self.process.id().to_string())
            .status();
        assert!(kill.expect("kill").success());
        self.process.wait().expect("it ends");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.terminate();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_survives_its_engine() {
    let below = tempfile::tempdir().expect("test set-up");
    let root = tempfile::tempdir().expect("test set-up");
    let Some(mut daemon) = Daemon::start(below.path()) else {
        return;
    };
    let Some(engine) = daemon.engine().await else {
        return;
    };
    let docker = Docker::connect_with_unix(&daemon.socket, 60, API_DEFAULT_VERSION);
    let docker = docker.expect("a client").negotiate_version().await;
    image(&docker.expect("a client")).await;
    let node = builder(&cluster(), &engine, root.path())
        .build()
        .await
        .expect("a node");
    let mut events = node.watch();
    let request = running(1, script(LASTING));
    let id = request.id;
    node.ensure(request.clone()).await.expect("it starts");

    daemon.stop();
    let error = node.ensure(running(2, script(LASTING))).await;
    let error = error.expect_err("there is no engine");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = node.list().await.expect_err("nobody knows");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");

    let Some(mut daemon) = Daemon::start(below.path()) else {
        return;
    };
    daemon.engine().await.expect("it started before");
    let (mut ended, mut resync) = (false, false);
    let heard = async {
        while !(ended && resync) {
            match events.next().await.expect("events") {
                NodeEvent::Sandbox(status) if status.id == id => {
                    ended |= matches!(status.phase, SandboxPhase::Exited(_));
                }
                NodeEvent::Resync => resync = true,
                _ => {}
            }
        }
    };
    let heard = tokio::time::timeout(SOON, heard).await;
    heard.expect("the end is told, and that something was missed");
    node.stop(id, Duration::ZERO).await.expect("it stops");
    let again = node.ensure(request).await.expect("it starts again");
    assert!(again.is_running());
    node.clear().await.expect("all is cleared");
    daemon.stop();
}
