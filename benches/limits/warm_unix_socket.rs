//! A warm invocation of a function in a child process, through the framed socket.
//!
//! Its limit is a raw echo between the same two processes: as many bytes as the request has on the
//! wire are written to a second Unix socket, and as many as the response has are read from it, with
//! tokio on both sides, on the same threads as the invocation.

use std::hint::black_box;

use tokio::net::UnixListener;

use crate::Figure;
use crate::child::{RawEcho, Role};
use crate::measure::{Bench, Samples, now};
use crate::platform::{self, Processes, request};
use crate::wire;

pub(crate) const FIGURE: Figure = Figure {
    name: "warm_unix_socket",
    about: "warm call of a child process, against a raw echo between the same processes",
    reach: Some(1.15),
    rounds: 10_000,
    run,
};

fn run(bench: &Bench) -> Samples {
    let rounds = bench.rounds();
    bench.run(async move {
        let directory = tempfile::tempdir().expect("a directory");
        let (asked, answered) = wire::request_and_response(directory.path()).await;
        let raw = RawEcho {
            path: directory.path().join("raw"),
            request: asked,
            response: answered,
        };
        let listener = UnixListener::bind(&raw.path).expect("a socket");
        let processes = Processes::start(directory.path(), None).await;
        let role = Role {
            raw: Some(raw.clone()),
        };
        let platform = &processes.platform;
        processes.deploy("echo", &role).await;
        platform
            .run("echo", platform::payload())
            .await
            .expect("it starts");
        let (mut stream, _) = listener.accept().await.expect("the child connects");

        let (mut samples, mut answer) = (Samples::default(), Vec::new());
        for _ in rounds {
            let start = now();
            raw.ask(&mut stream, &mut answer).await.expect("an answer");
            samples.limit.push(start.elapsed());

            let request = request(platform, "echo");
            let start = now();
            black_box(platform.invoke(request).await.expect("an answer"));
            samples.ours.push(start.elapsed());
        }
        processes.stop().await;
        samples
    })
}
