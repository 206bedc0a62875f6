//! A cold invocation of a function in a child process: nothing of it runs, its code is on the node.
//!
//! Its limit is the start of the same program with the same arguments until it has connected to a
//! Unix socket and said its first word.

use std::hint::black_box;
use std::path::Path;
use std::process::Stdio;

use faas::runtimes::framed;
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use tokio::process::Command;

use crate::Figure;
use crate::child::Role;
use crate::durable_commit::directory as directory_on_disk;
use crate::measure::{Bench, Samples, now};
use crate::platform::{Processes, request};

pub(crate) const FIGURE: Figure = Figure {
    name: "cold_process",
    about: "cold call of a child process, against the start of its program until it connects",
    reach: Some(1.15),
    rounds: 200,
    run,
};

fn run(bench: &Bench) -> Samples {
    measure(bench, false)
}

/// On a platform whose state is on disk, or in memory.
pub(crate) fn measure(bench: &Bench, durable: bool) -> Samples {
    let rounds = bench.rounds();
    bench.run(async move {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = durable.then(directory_on_disk);
        let data = disk.as_ref().map(|disk| disk.path().join("data"));
        let processes = Processes::start(directory.path(), data).await;
        let platform = &processes.platform;
        // The first start brings the code to the node.
        processes.deploy("first", &Role::default()).await;
        platform
            .invoke(request(platform, "first"))
            .await
            .expect("it starts");
        let path = directory.path().join("bare");
        let listener = UnixListener::bind(&path).expect("a socket");

        let mut samples = Samples::default();
        for round in rounds {
            samples.limit.push(bare(&listener, &path).await);

            let name = format!("cold-{round}");
            processes.deploy(&name, &Role::default()).await;
            let request = request(platform, &name);
            let start = now();
            black_box(platform.invoke(request).await.expect("an answer"));
            samples.ours.push(start.elapsed());
            processes.delete(&name).await;
        }
        processes.stop().await;
        samples
    })
}

async fn bare(listener: &UnixListener, path: &Path) -> std::time::Duration {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(Role::default().arguments())
        .env_clear()
        .env(framed::SOCKET, path)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let start = now();
    let mut child = command.spawn().expect("it starts");
    let (mut stream, _) = listener.accept().await.expect("it connects");
    stream.read_u8().await.expect("it greets");
    let took = start.elapsed();
    child.kill().await.expect("it ends");
    took
}
