//! The HTTP side of the Runtime API.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use bytes::Bytes;
use faas_core::{ContentType, Error, FunctionError, Result, SandboxId};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::api::{Answer, Api};
use crate::sandbox_end::SandboxEnd;

/// Connections of one sandbox at most; more wait to be accepted.
const CONNECTIONS: usize = 64;
/// Bytes of a report of an error at most.
const ERROR_LIMIT: usize = 256 << 10;
/// Bytes of the head of a request at most.
const HEAD_LIMIT: usize = 64 << 10;

const PREFIX: &str = "/2018-06-01/runtime/";
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";

/// The listener of one sandbox; dropping it closes everything.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) api: Arc<Api>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) fn start(sandbox: SandboxId, at: SocketAddr) -> Result<Self> {
        let listen = || {
            let listener = StdListener::bind(at)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((TcpListener::from_std(listener)?, address))
        };
        let (listener, address) = listen().map_err(|error: std::io::Error| {
            let message = format!("no listener at {at} for sandbox {sandbox}: {error}");
            Error::unavailable("prepare sandbox", message).with_source(error)
        })?;
        let api = Api::new();
        let task = tokio::spawn(accept(listener, api.clone()));
        Ok(Self { address, api, task })
    }

    /// Ends everything and waits until it has ended.
    pub(super) async fn stop(mut self, end: &SandboxEnd) {
        self.api.end(end);
        self.task.abort();
        // It was told to stop; there is nothing to learn from how it did.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        self.api
            .end(&SandboxEnd::unreachable("its listener is closed"));
    }
}

async fn accept(listener: TcpListener, api: Arc<Api>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(TokioIo::new(stream), api.clone()))),
                Err(error) => {
                    tracing::debug!(%error, "a connection of a sandbox was lost before it began");
                    tokio::task::yield_now().await;
                }
            },
        }
    }
}

async fn serve(stream: TokioIo<tokio::net::TcpStream>, api: Arc<Api>) {
    let service = service_fn(move |request| {
        let api = api.clone();
        async move { Ok::<_, Infallible>(handle(request, &api).await) }
    });
    let mut builder = http1::Builder::new();
    let connection = builder
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(stream, service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection of a sandbox ended");
    }
}

type Reply = Response<Full<Bytes>>;

async fn handle(request: Request<Incoming>, api: &Api) -> Reply {
    let path = request.uri().path().to_owned();
    let Some(path) = path.strip_prefix(PREFIX) else {
        return refuse(StatusCode::NOT_FOUND, "NotFound");
    };
    let parts: Vec<&str> = path.split('/').collect();
    match (request.method(), &*parts) {
        (&Method::GET, ["invocation", "next"]) => next(api).await,
        (&Method::POST, ["invocation", id, "response"]) => respond(request, api, id).await,
        (&Method::POST, ["invocation", id, "error"]) => fail(request, api, id).await,
        (&Method::POST, ["init", "error"]) => {
            let error = report(request).await;
            let why = format!("its runtime did not start: {error}");
            api.end(&SandboxEnd::unreachable(why));
            accepted()
        }
        _ => refuse(StatusCode::NOT_FOUND, "NotFound"),
    }
}

fn reply(status: StatusCode, json: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(json)));
    *reply.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(http::header::CONTENT_TYPE, json);
    reply
}

fn accepted() -> Reply {
    reply(StatusCode::ACCEPTED, r#"{"status":"OK"}"#.to_owned())
}

fn refuse(status: StatusCode, kind: &str) -> Reply {
    reply(
        status,
        format!(r#"{{"errorMessage":"{status}","errorType":"{kind}"}}"#),
    )
}

async fn next(api: &Api) -> Reply {
    let delivery = api.next().await;
    let mut reply = Response::new(Full::new(delivery.payload));
    *reply.headers_mut() = delivery.headers;
    reply
}

fn settle(api: &Api, id: &str, answer: Answer) -> Reply {
    match api.answer(id, answer) {
        true => accepted(),
        false => refuse(StatusCode::BAD_REQUEST, "InvalidRequestID"),
    }
}

async fn respond(request: Request<Incoming>, api: &Api, id: &str) -> Reply {
    let Some(limit) = api.limit(id) else {
        return refuse(StatusCode::BAD_REQUEST, "InvalidRequestID");
    };
    let content_type = content_type(request.headers());
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => {
            let failed = body.trailers().and_then(trailer_error);
            let whole = || Answer::Whole(content_type, body.to_bytes());
            settle(api, id, failed.map_or_else(whole, Answer::Failed))
        }
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("it answered more than {limit} bytes");
            let error = FunctionError::new(FunctionError::RESPONSE_TOO_LARGE, message);
            let _ = settle(api, id, Answer::Failed(error));
            refuse(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge")
        }
        Err(error) => {
            let message = format!("its answer was cut short: {error}");
            let error = FunctionError::new(FunctionError::PROTOCOL, message);
            let _ = settle(api, id, Answer::Failed(error));
            refuse(StatusCode::BAD_REQUEST, "InvalidResponse")
        }
    }
}

fn content_type(headers: &HeaderMap) -> ContentType {
    let text = headers.get(http::header::CONTENT_TYPE);
    let text = text.and_then(|value| value.to_str().ok());
    text.and_then(|text| ContentType::new(text.to_owned()).ok())
        .unwrap_or(ContentType::JSON)
}

/// An error in the middle of an answer in Lambda's streaming mode.
fn trailer_error(trailers: &HeaderMap) -> Option<FunctionError> {
    let text = |name| trailers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(ERROR_TYPE)?.to_owned();
    let error = FunctionError::new(kind, "it failed while it answered");
    Some(match text("lambda-runtime-function-error-body") {
        Some(details) => error.with_details(details),
        None => error,
    })
}

async fn fail(request: Request<Incoming>, api: &Api, id: &str) -> Reply {
    if api.limit(id).is_none() {
        return refuse(StatusCode::BAD_REQUEST, "InvalidRequestID");
    }
    let error = report(request).await;
    let garbage = error.kind == FunctionError::PROTOCOL;
    let answered = settle(api, id, Answer::Failed(error));
    match garbage {
        true => refuse(StatusCode::BAD_REQUEST, "InvalidErrorShape"),
        false => answered,
    }
}

/// How runtimes describe an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    error_message: Option<String>,
    error_type: Option<String>,
}

async fn report(request: Request<Incoming>) -> FunctionError {
    let header = request.headers().get(ERROR_TYPE);
    let header = header
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let body = Limited::new(request.into_body(), ERROR_LIMIT)
        .collect()
        .await;
    let body = match body {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let message = format!("its report of an error is not readable: {error}");
            return FunctionError::new(FunctionError::PROTOCOL, message);
        }
    };
    match (serde_json::from_slice::<Report>(&body), header) {
        (Ok(report), header) => {
            let kind = report
                .error_type
                .or(header)
                .unwrap_or_else(|| "Unhandled".to_owned());
            let error = FunctionError::new(kind, report.error_message.unwrap_or_default());
            error.with_details(String::from_utf8_lossy(&body))
        }
        (Err(_), Some(kind)) => FunctionError::new(kind, String::from_utf8_lossy(&body)),
        (Err(error), None) => {
            let message = format!("its report of an error is none: {error}");
            FunctionError::new(FunctionError::PROTOCOL, message)
        }
    }
}
