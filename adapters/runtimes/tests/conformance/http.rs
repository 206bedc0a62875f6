//! HTTP servers, at a port that the hook keeps and at a Unix socket.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::{
    FunctionError, Handler, HandlerCall, HandlerName, HandlerReply, HookName, Invocation,
    InvocationId, Payload,
};
use faas_function::instance::conformance::{Fixture, Setup, Subject};
use faas_resource::SandboxHook;
use faas_resource::endpoint::{Address, Endpoint};
use faas_resource::hook::{Prepared, Reach, ReachKind};
use faas_runtimes::Http;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use crate::common::{Task, clock, connected, hooked, revision, task};

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

async fn handle(request: Request<Incoming>, subject: Subject) -> Result<Answer, Infallible> {
    let read = request.into_body().collect().await;
    let payload = Payload::bytes(read.map(|body| body.to_bytes()).unwrap_or_default());
    let function = "subject".parse().expect("a name");
    let invocation = Invocation::new(InvocationId::from_u128(1), function, payload);
    Ok(answer(subject.call(HandlerCall::from(invocation)).await))
}

fn answer(reply: Result<HandlerReply, FunctionError>) -> Answer {
    let answer = Response::builder();
    let whole = |bytes| {
        Full::new(bytes)
            .map_err(|never: Infallible| match never {})
            .boxed_unsync()
    };
    let answer = match reply {
        Ok(HandlerReply::Whole(payload)) => answer.body(whole(payload.into_bytes())),
        Ok(HandlerReply::Stream(_, chunks)) => {
            let chunks = chunks.map(|chunk| chunk.map(Frame::data).map_err(std::io::Error::other));
            answer.body(StreamBody::new(chunks).boxed_unsync())
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            let answer = answer
                .status(500)
                .header(faas_runtimes::http::ERROR, &*error.kind);
            answer.body(whole(error.message.into()))
        }
    };
    answer.expect("a good response")
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, subject: Subject) {
    let service = service_fn(move |request| handle(request, subject.clone()));
    // The client may leave in the midst of it: that is a cancellation.
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    drop(served.await);
}

async fn on_port(port: String, subject: Subject) {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await;
    let listener = listener.expect("the port that was kept");
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, subject.clone()));
    }
}

async fn on_socket(path: PathBuf, subject: Subject) {
    let listener = UnixListener::bind(path).expect("a socket of its own");
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, subject.clone()));
    }
}

fn loopback() -> Http {
    let contract = Http::on_loopback(HookName::new("http").expect("a name"), clock());
    contract.grace(Duration::from_millis(500))
}

async fn instance(setup: Setup) -> Fixture {
    let (contract, subject) = (loopback(), Subject::default());
    let guest = subject.clone();
    let (instance, end) = hooked(&contract, &setup, Reach::Loopback, |prepared| {
        on_port(prepared.environment["PORT"].clone(), guest)
    })
    .await;
    let mut fixture = Fixture::new(instance, subject, clock());
    fixture.end = Some(end);
    fixture.keep = Box::new(contract);
    fixture
}

mod instances {
    faas_function::function_instance_conformance!(super::instance);
}

async fn on_a_socket(setup: Setup) -> Fixture {
    let (contract, subject) = (Http::new(clock()), Subject::default());
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("s");
    let guest = Task(tokio::spawn(on_socket(path.clone(), subject.clone())));
    let endpoint: Endpoint = Address::Unix(path).into();
    let instance = connected(&contract, &setup, endpoint).await;
    let mut fixture = Fixture::new(instance, subject, clock());
    fixture.keep = Box::new((contract, root, guest));
    fixture
}

mod instances_on_sockets {
    faas_function::function_instance_conformance!(super::on_a_socket);
}

async fn contract(subject: Subject) -> faas_function::contract::conformance::Fixture {
    let mut fixture = faas_function::contract::conformance::Fixture::new(
        Arc::new(loopback()),
        revision(&Setup::default()),
        Box::new(|_| Address::Hook.into()),
        Box::new(move |_, environment| {
            let guest = task(on_port(environment["PORT"].clone(), subject.clone()));
            Box::pin(async { guest })
        }),
    );
    let name = HandlerName::new("handler").expect("a name");
    fixture.foreign = Some(Address::Handler(name).into());
    fixture.reach = Box::new(|_, kind| (kind == ReachKind::Loopback).then_some(Reach::Loopback));
    fixture
}

mod contracts {
    faas_function::contract_conformance!(super::contract);
}

async fn contract_on_sockets(subject: Subject) -> faas_function::contract::conformance::Fixture {
    let root = Arc::new(tempfile::tempdir().expect("a directory"));
    let path = |root: &tempfile::TempDir, sandbox: faas_core::SandboxId| {
        root.path().join(sandbox.to_string())
    };
    let at = root.clone();
    let mut fixture = faas_function::contract::conformance::Fixture::new(
        Arc::new(Http::new(clock())),
        revision(&Setup::default()),
        Box::new(move |sandbox| Address::Unix(path(&at, sandbox)).into()),
        Box::new(move |sandbox, _| {
            let guest = task(on_socket(path(&root, sandbox), subject.clone()));
            Box::pin(async { guest })
        }),
    );
    fixture.foreign = Some(Address::Hook.into());
    fixture
}

mod contracts_on_sockets {
    faas_function::contract_conformance!(super::contract_on_sockets);
}

/// Whether the port is kept: nobody is given it who does not share it.
fn is_kept(prepared: &Prepared) -> bool {
    let port = prepared.environment["PORT"].parse().expect("a port");
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind((std::net::Ipv4Addr::LOCALHOST, port).into())
        .is_err()
}

async fn hook() -> faas_resource::hook::conformance::Fixture {
    let mut fixture = faas_resource::hook::conformance::Fixture::new(
        Arc::new(loopback()),
        Box::new(|ended, _| {
            drop(ended);
            Box::pin(async { Arc::new(loopback()) as Arc<dyn SandboxHook> })
        }),
    );
    fixture.reach = Box::new(|_, kind| (kind == ReachKind::Loopback).then_some(Reach::Loopback));
    fixture.reachable = Box::new(|prepared| {
        let kept = is_kept(&prepared);
        Box::pin(async move { kept })
    });
    fixture
}

mod hooks {
    faas_resource::sandbox_hook_conformance!(super::hook);
}

#[tokio::test]
async fn many_ports_are_kept_apart_and_their_functions_get_them() {
    let contract = loopback();
    let mut ports = std::collections::BTreeSet::new();
    for number in 0..200 {
        let sandbox = faas_core::SandboxId::from_u128(number);
        let prepared = contract.prepare(sandbox, Some(Reach::Loopback)).await;
        let prepared = prepared.expect("a port");
        assert!(ports.insert(prepared.environment["PORT"].clone()));
        assert!(is_kept(&prepared));
    }
    // Whoever asks for any port gets another one.
    for _ in 0..200 {
        let other = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = other.local_addr().expect("its own").port().to_string();
        assert!(!ports.contains(&port));
    }
    for port in ports {
        let function = TcpListener::bind(format!("127.0.0.1:{port}")).await;
        drop(function.expect("the port that was kept"));
    }
}
