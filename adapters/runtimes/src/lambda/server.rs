//! The HTTP side of the Runtime API.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::{Clock, Error, Result, SandboxId};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::answer;
use super::api::Api;
use crate::sandbox_end::SandboxEnd;

/// Connections of one sandbox at most; more wait to be accepted.
const CONNECTIONS: usize = 64;
/// How long to wait when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes of the head of a request at most.
const HEAD_LIMIT: usize = 64 << 10;

const PREFIX: &str = "/2018-06-01/runtime/";

/// The listener of one sandbox; dropping it closes everything.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) api: Arc<Api>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) fn start(sandbox: SandboxId, at: SocketAddr, clock: Arc<dyn Clock>) -> Result<Self> {
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
        let task = tokio::spawn(accept(listener, api.clone(), clock));
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

async fn accept(listener: TcpListener, api: Arc<Api>, clock: Arc<dyn Clock>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(TokioIo::new(stream), api.clone()))),
                Err(error) => {
                    tracing::debug!(%error, "a connection of a sandbox was lost before it began");
                    // It may be for want of descriptors: others must close some first.
                    clock.sleep_until(clock.now() + PAUSE).await;
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

pub(super) type Reply = Response<Full<Bytes>>;

async fn handle(request: Request<Incoming>, api: &Arc<Api>) -> Reply {
    let path = request.uri().path().to_owned();
    let Some(path) = path.strip_prefix(PREFIX) else {
        return refuse(StatusCode::NOT_FOUND, "NotFound");
    };
    let parts: Vec<&str> = path.split('/').collect();
    match (request.method(), &*parts) {
        (&Method::GET, ["invocation", "next"]) => next(api).await,
        (&Method::POST, ["invocation", id, "response"]) => answer::respond(request, api, id).await,
        (&Method::POST, ["invocation", id, "error"]) => answer::fail(request, api, id).await,
        (&Method::POST, ["init", "error"]) => {
            let error = answer::read_report(request).await;
            let error = error.map_or_else(|why| why, |error| error.to_string());
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

pub(super) fn accepted() -> Reply {
    reply(StatusCode::ACCEPTED, r#"{"status":"OK"}"#.to_owned())
}

pub(super) fn refuse(status: StatusCode, kind: &str) -> Reply {
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
