//! What runs in the containers of the contracts' tests: this very test program, with the libraries
//! that it is linked to. Which contract it speaks, its environment says.

use std::convert::Infallible;
use std::path::Path;
use std::process::Command;

use bollard::Docker;
use bytes::Bytes;
use faas_core::{Digest, FunctionError, HandlerCall, HandlerReply, Payload};
use faas_runtimes::framed::guest;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::engine::{Tree, import};

/// How it is started, in a container.
pub(crate) const ENTRYPOINT: [&str; 4] = ["/guest", "guest::serve", "--exact", "--nocapture"];

/// Makes the image; answers its name.
pub(crate) async fn image(docker: &Docker) -> String {
    let program = std::env::current_exe().expect("this program");
    let digest = Digest::of(&std::fs::read(&program).expect("this program"));
    let name = format!("faas-test/guest:{}", &digest.hex()[..16]);
    import(docker, &name, || {
        let mut tree = Tree::new();
        tree.file("guest", &program);
        let linked = Command::new("ldd").arg(&program).output().expect("ldd");
        let linked = String::from_utf8_lossy(&linked.stdout).into_owned();
        let paths = linked
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        for path in paths {
            tree.file(path.trim_start_matches('/'), Path::new(path));
        }
        tree
    })
    .await;
    name
}

/// In the tests' process it has nothing to do.
#[test]
fn serve() {
    let set = |name| std::env::var_os(name).is_some();
    let (lambda, http, framed) = ("AWS_LAMBDA_RUNTIME_API", "K_SERVICE", "FAAS_FUNCTION");
    if ![lambda, http, framed].into_iter().any(set) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        if set(lambda) {
            let function =
                async |event: LambdaEvent<Value>| Ok::<_, Infallible>(answer(event.payload));
            let served = lambda_runtime::run(lambda_runtime::service_fn(function)).await;
            served.expect("it serves until its platform is gone");
        } else if set(http) {
            by_http().await;
        } else {
            guest::run(framed_answer).await.expect("it serves");
        }
    });
}

/// What the function is to the caller, whatever the contract.
fn answer(input: Value) -> Value {
    match input["do"].as_str() {
        Some("exit") => std::process::exit(7),
        Some("links") => {
            let links = std::fs::read_dir("/sys/class/net")
                .expect("links")
                .flatten();
            let mut links: Vec<_> = links
                .map(|link| link.file_name().into_string().ok())
                .collect();
            links.sort_unstable();
            json!(links)
        }
        _ => json!({"echo": input, "process": std::process::id()}),
    }
}

async fn framed_answer(call: HandlerCall) -> Result<HandlerReply, FunctionError> {
    Ok(Payload::json(&answer(call.payload.to_json()?))?.into())
}

async fn by_http() {
    match (std::env::var("FAAS_SOCKET"), std::env::var("PORT")) {
        (Ok(path), _) => {
            let listener = UnixListener::bind(path).expect("a socket of its own");
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream));
            }
        }
        (Err(_), port) => {
            let port: u16 = port.expect("PORT").parse().expect("a port");
            let listener = TcpListener::bind(("0.0.0.0", port))
                .await
                .expect("its port");
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream));
            }
        }
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(async |request: Request<Incoming>| {
        let body = request.into_body().collect().await?.to_bytes();
        let input = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let answer = Bytes::from(answer(input).to_string());
        Ok::<_, hyper::Error>(Response::new(Full::new(answer)))
    });
    let server = hyper::server::conn::http1::Builder::new();
    // The client may leave in the midst of it.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}
