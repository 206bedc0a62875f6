//! A runtime of Lambda in this process: asks, calls a handler, answers, and asks again.

use std::sync::Arc;

use bytes::Bytes;
use faas_core::{
    FunctionError, Handler, HandlerCall, HandlerReply, Invocation, InvocationId, Payload,
};
use futures::StreamExt;
use futures::future::join_all;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type Body = BoxBody<Bytes, std::convert::Infallible>;
type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Serves with so many loops until the API is gone.
pub(crate) async fn serve(api: String, handler: Arc<dyn Handler>, loops: u32) {
    let loops = (0..loops).map(|_| turns(&api, &handler));
    drop(join_all(loops).await);
}

async fn turns(api: &str, handler: &Arc<dyn Handler>) -> Result<(), Broken> {
    let stream = TcpStream::connect(api).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let turns = async {
        loop {
            turn(&mut sender, handler).await?;
        }
    };
    tokio::select! {
        ended = turns => ended,
        ended = connection => Ok(ended?),
    }
}

async fn send(
    sender: &mut SendRequest<Body>,
    path: &str,
    body: Option<(HeaderMap, Body)>,
) -> Result<http::Response<Incoming>, Broken> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let (headers, body) = body.unwrap_or_else(|| (HeaderMap::new(), whole(Bytes::new())));
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/2018-06-01/runtime/invocation/{path}"))
        .header("host", "runtime")
        .body(body)?;
    request.headers_mut().extend(headers);
    sender.ready().await?;
    Ok(sender.send_request(request).await?)
}

async fn turn(sender: &mut SendRequest<Body>, handler: &Arc<dyn Handler>) -> Result<(), Broken> {
    let next = send(sender, "next", None).await?;
    let id = next.headers()["lambda-runtime-aws-request-id"]
        .to_str()?
        .to_owned();
    let event = next.into_body().collect().await?.to_bytes();
    let number = InvocationId::from_u128(1);
    let call = Invocation::new(number, "subject".parse()?, Payload::bytes(event));
    let (path, headers, body) = answer(handler.call(HandlerCall::from(call)).await)?;
    let answered = send(sender, &format!("{id}/{path}"), Some((headers, body))).await?;
    let accepted = [StatusCode::ACCEPTED, StatusCode::PAYLOAD_TOO_LARGE];
    assert!(
        accepted.contains(&answered.status()),
        "{}",
        answered.status()
    );
    answered.into_body().collect().await?;
    Ok(())
}

type Reply = Result<HandlerReply, FunctionError>;

fn answer(reply: Reply) -> Result<(&'static str, HeaderMap, Body), Broken> {
    let mut headers = HeaderMap::new();
    match reply {
        Ok(HandlerReply::Whole(payload)) => {
            let kind = HeaderValue::from_str(payload.content_type().as_str())?;
            headers.insert("content-type", kind);
            Ok(("response", headers, whole(payload.into_bytes())))
        }
        Ok(HandlerReply::Stream(kind, chunks)) => {
            headers.insert("content-type", HeaderValue::from_str(kind.as_str())?);
            let mode = HeaderName::from_static("lambda-runtime-function-response-mode");
            headers.insert(mode, HeaderValue::from_static("streaming"));
            let named = HeaderValue::from_static("lambda-runtime-function-error-type");
            headers.insert("trailer", named);
            let frames = chunks.map(|chunk| {
                Ok(match chunk {
                    Ok(data) => Frame::data(data),
                    Err(error) => Frame::trailers(trailers(&error)),
                })
            });
            Ok(("response", headers, streamed(frames)))
        }
        Ok(other) => Err(format!("{other:?} is not known here").into()),
        Err(error) => {
            let report = serde_json::json!({
                "errorType": error.kind,
                "errorMessage": error.message,
            });
            Ok(("error", headers, whole(report.to_string().into())))
        }
    }
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).boxed()
}

/// The connection's body is `Sync`, which our streams are not: a channel is between them.
fn streamed(
    frames: impl futures::Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>> + Send + 'static,
) -> Body {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let mut frames = Box::pin(frames);
        while let Some(frame) = frames.next().await {
            if sender.send(frame).await.is_err() {
                return;
            }
        }
    });
    let read = futures::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    BodyExt::boxed(StreamBody::new(read))
}

fn trailers(error: &FunctionError) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if let Ok(kind) = HeaderValue::from_str(&error.kind) {
        trailers.insert("lambda-runtime-function-error-type", kind);
    }
    trailers
}
