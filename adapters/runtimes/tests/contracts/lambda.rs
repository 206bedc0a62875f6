//! The Lambda Runtime API, with a runtime written by hand.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::{ErrorKind, FunctionError, HookName, Retry};
use faas_function::Contract;
use faas_function::instance::{FunctionInstance, Health};
use faas_function::registry::FunctionConfig;
use faas_resource::SandboxHook;
use faas_resource::agent::ExitCause;
use faas_resource::endpoint::Address;
use faas_resource::hook::Reach;
use faas_runtimes::LambdaRuntime;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::common::{Slots, call, clock, complete, config, connect, failure, sandbox};

fn contract() -> LambdaRuntime {
    LambdaRuntime::new(HookName::new("lambda").unwrap(), clock())
}

/// A runtime that does as the test says.
#[derive(Clone)]
struct Guest(String);

impl Guest {
    async fn start(contract: &LambdaRuntime) -> Self {
        let prepared = contract
            .prepare(sandbox(), Some(Reach::Loopback))
            .await
            .unwrap();
        Self(prepared.environment["AWS_LAMBDA_RUNTIME_API"].clone())
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> (StatusCode, HeaderMap, Bytes) {
        let stream = TcpStream::connect(&self.0).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("/2018-06-01/runtime/{path}"))
            .header("host", &self.0)
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        (
            head.status,
            head.headers,
            body.collect().await.unwrap().to_bytes(),
        )
    }

    async fn next(&self) -> (String, HeaderMap, Bytes) {
        let (status, headers, body) = self.send("GET", "invocation/next", "").await;
        assert_eq!(status, StatusCode::OK);
        let id = headers["lambda-runtime-aws-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        (id, headers, body)
    }

    async fn post(&self, id: &str, what: &str, body: &str) -> StatusCode {
        self.send("POST", &format!("invocation/{id}/{what}"), body)
            .await
            .0
    }
}

/// An instance whose runtime waits in its first request for work, which the handle answers.
async fn ready(
    config: FunctionConfig,
) -> (
    LambdaRuntime,
    Guest,
    Arc<dyn FunctionInstance>,
    tokio::task::JoinHandle<(String, HeaderMap, Bytes)>,
) {
    let contract = contract().grace(Duration::from_millis(50));
    let guest = Guest::start(&contract).await;
    let first = tokio::spawn({
        let guest = guest.clone();
        async move { guest.next().await }
    });
    let instance = contract
        .connect(connect(Address::Hook, config))
        .await
        .unwrap();
    (contract, guest, instance, first)
}

fn short() -> FunctionConfig {
    let mut config = config();
    config.timeout = Duration::from_millis(100);
    config
}

#[tokio::test]
async fn answers_and_the_slot_returns_with_the_next_request() {
    let slots = Arc::new(Slots::default());
    let (_contract, guest, instance, first) = ready(config()).await;
    let runtime = async {
        let (id, headers, body) = first.await.unwrap();
        assert_eq!(body, "hi");
        for name in ["deadline-ms", "invoked-function-arn"] {
            assert!(
                headers.contains_key(format!("lambda-runtime-{name}")),
                "{name}"
            );
        }
        assert_eq!(
            guest.post(&id, "response", "\"ho\"").await,
            StatusCode::ACCEPTED
        );
        id
    };
    let (answer, id) = tokio::join!(instance.invoke(call("hi"), slots.permit()), runtime);
    assert_eq!(complete(answer.unwrap()).await.payload.as_bytes(), "\"ho\"");
    assert_eq!(
        guest.post(&id, "response", "again").await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(slots.released(), 0);
    let again = tokio::spawn(async move { guest.next().await });
    slots.wait(1).await;
    again.abort();
}

#[tokio::test]
async fn an_error_is_the_functions_failure() {
    let slots = Arc::new(Slots::default());
    let (_contract, guest, instance, first) = ready(config()).await;
    let runtime = async {
        let (id, ..) = first.await.unwrap();
        let report = r#"{"errorType":"Broken","errorMessage":"it is"}"#;
        assert_eq!(guest.post(&id, "error", report).await, StatusCode::ACCEPTED);
    };
    let (answer, ()) = tokio::join!(instance.invoke(call("hi"), slots.permit()), runtime);
    let error = failure(answer.unwrap()).await;
    assert_eq!((&*error.kind, &*error.message), ("Broken", "it is"));
}

#[tokio::test]
async fn garbage_is_refused_and_named() {
    let slots = Arc::new(Slots::default());
    let (_contract, guest, instance, first) = ready(config()).await;
    assert_eq!(
        guest.post("none", "response", "").await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        guest.send("PUT", "nothing", "").await.0,
        StatusCode::NOT_FOUND
    );
    let runtime = async {
        let (id, ..) = first.await.unwrap();
        assert_eq!(
            guest.post(&id, "error", "garbage").await,
            StatusCode::BAD_REQUEST
        );
    };
    let (answer, ()) = tokio::join!(instance.invoke(call("hi"), slots.permit()), runtime);
    assert_eq!(failure(answer.unwrap()).await.kind, FunctionError::PROTOCOL);
}

#[tokio::test]
async fn a_response_is_bounded() {
    let slots = Arc::new(Slots::default());
    let mut config = config();
    config.response_limit = 3;
    let (_contract, guest, instance, first) = ready(config).await;
    let runtime = async {
        let (id, ..) = first.await.unwrap();
        assert_eq!(
            guest.post(&id, "response", "long").await,
            StatusCode::PAYLOAD_TOO_LARGE
        );
    };
    let (answer, ()) = tokio::join!(instance.invoke(call("hi"), slots.permit()), runtime);
    assert_eq!(
        failure(answer.unwrap()).await.kind,
        FunctionError::RESPONSE_TOO_LARGE
    );
}

#[tokio::test]
async fn a_timeout_gives_the_instance_up() {
    let slots = Arc::new(Slots::default());
    let (_contract, _guest, instance, first) = ready(short()).await;
    let answer = instance.invoke(call("hi"), slots.permit()).await.unwrap();
    assert_eq!(failure(answer).await.kind, FunctionError::TIMEOUT);
    assert!(matches!(instance.health(), Health::Failed(_)));
    instance.failed().await;
    slots.wait(1).await;
    first.await.unwrap();
}

#[tokio::test]
async fn a_cancelled_call_keeps_its_slot_until_the_runtime_is_idle() {
    let slots = Arc::new(Slots::default());
    let (_contract, guest, instance, first) = ready(config()).await;
    let id = tokio::select! {
        _ = instance.invoke(call("hi"), slots.permit()) => panic!("nobody answers"),
        first = first => first.unwrap().0,
    };
    assert_eq!(slots.released(), 0);
    assert_eq!(
        guest.post(&id, "response", "late").await,
        StatusCode::ACCEPTED
    );
    let again = tokio::spawn(async move { guest.next().await });
    slots.wait(1).await;
    assert_eq!(instance.health(), Health::Ready);
    again.abort();
}

#[tokio::test]
async fn a_runtime_that_does_not_ask_again_is_given_up() {
    let slots = Arc::new(Slots::default());
    let (_contract, guest, instance, first) = ready(short()).await;
    let runtime = async {
        let (id, ..) = first.await.unwrap();
        guest.post(&id, "response", "").await
    };
    let (answer, _) = tokio::join!(instance.invoke(call("hi"), slots.permit()), runtime);
    complete(answer.unwrap()).await;
    instance.failed().await;
    slots.wait(1).await;
}

#[tokio::test]
async fn a_failed_start_says_why() {
    let contract = contract();
    let guest = Guest::start(&contract).await;
    let report = r#"{"errorType":"NoModule","errorMessage":"no such file"}"#;
    assert_eq!(
        guest.send("POST", "init/error", report).await.0,
        StatusCode::ACCEPTED
    );
    let error = contract
        .connect(connect(Address::Hook, config()))
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("no such file"), "{error}");
}

#[tokio::test]
async fn a_runtime_that_exits_in_the_midst_of_a_call_has_failed() {
    let slots = Arc::new(Slots::default());
    let (contract, _guest, instance, first) = ready(config()).await;
    let exit = async {
        first.await.unwrap();
        contract.release(sandbox(), &ExitCause::Signal(9)).await;
    };
    let (answer, ()) = tokio::join!(instance.invoke(call("hi"), slots.permit()), exit);
    let error = failure(answer.unwrap()).await;
    assert_eq!(error.kind, FunctionError::EXIT);
    assert!(error.message.contains("signal 9"), "{error}");
    instance.failed().await;
    slots.wait(1).await;
}

#[tokio::test]
async fn release_frees_and_ends_what_runs() {
    let slots = Arc::new(Slots::default());
    let (contract, guest, instance, first) = ready(config()).await;
    let release = async {
        first.await.unwrap();
        contract.release(sandbox(), &ExitCause::Stopped).await;
    };
    let (answer, ()) = tokio::join!(instance.invoke(call("hi"), slots.permit()), release);
    let error = answer.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Ambiguous)
    );
    assert!(TcpStream::connect(&guest.0).await.is_err());
    assert_eq!(slots.released(), 1);
    contract.release(sandbox(), &ExitCause::Stopped).await;
    let error = instance.invoke(call(""), slots.permit()).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Safe);
}

#[tokio::test]
async fn prepare_is_idempotent_and_choosy() {
    let contract = contract();
    let guest = Guest::start(&contract).await;
    assert_eq!(Guest::start(&contract).await.0, guest.0);
    let error = contract.prepare(sandbox(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
