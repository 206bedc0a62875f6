//! What runs in the child: a function made with the published `lambda_runtime` crate.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, stream};
use lambda_runtime::{
    Diagnostic, Error, FunctionResponse, LambdaEvent, MetadataPrelude, Runtime, SnapStartResource,
    StreamResponse, service_fn,
};
use serde_json::{Value, json};

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;
type Answer = FunctionResponse<Value, Chunks>;

/// A start that fails, as the crate reports it.
struct Unable;

impl SnapStartResource for Unable {
    fn before_snapshot(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Err("no database".into()) })
    }
}

fn whole(value: Value) -> Answer {
    FunctionResponse::BufferedResponse(value)
}

fn chunks(parts: Vec<Result<&'static str, &'static str>>) -> Chunks {
    let part =
        |part: Result<&'static str, &'static str>| part.map(Bytes::from).map_err(Error::from);
    stream::iter(parts.into_iter().map(part)).boxed()
}

fn streamed(stream: Chunks) -> Answer {
    let kind = http::HeaderValue::from_static("text/plain");
    let metadata_prelude = MetadataPrelude {
        status_code: http::StatusCode::CREATED,
        headers: [(http::header::CONTENT_TYPE, kind)].into_iter().collect(),
        cookies: vec!["a=b".to_owned()],
    };
    FunctionResponse::StreamingResponse(StreamResponse {
        metadata_prelude,
        stream,
    })
}

/// One chunk, and then nothing until the socket named in the request closes.
fn gated(socket: String) -> Chunks {
    let rest = stream::once(async move {
        let mut gate = tokio::net::TcpStream::connect(socket).await?;
        tokio::io::copy(&mut gate, &mut tokio::io::sink()).await?;
        Ok(Bytes::from_static(b"last"))
    });
    chunks(vec![Ok("first")]).chain(rest).boxed()
}

struct Told(&'static str);

impl From<Told> for Diagnostic {
    fn from(told: Told) -> Self {
        Diagnostic {
            error_type: "Told".to_owned(),
            error_message: told.0.to_owned(),
        }
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

async fn handle(event: LambdaEvent<Value>) -> Result<Answer, Told> {
    let (payload, context) = event.into_parts();
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    Ok(match payload["do"].as_str().unwrap_or_default() {
        "fail" => return Err(Told("it was asked to")),
        "panic" => panic!("on purpose"),
        "exit" => std::process::exit(7),
        "hang" => std::future::pending::<Answer>().await,
        "context" => whole(json!({
            "id": context.request_id,
            "deadline": context.deadline,
            "arn": context.invoked_function_arn,
            "trace": context.xray_trace_id,
            "name": context.env_config.function_name,
            "memory": context.env_config.memory,
            "version": context.env_config.version,
            "stream": context.env_config.log_stream,
            "process": std::process::id(),
            "custom": context.client_context.map(|context| context.custom),
        })),
        "big" => whole(json!(
            "x".repeat(payload["size"].as_u64().unwrap_or(0) as usize)
        )),
        "meet" => {
            let mut gate = tokio::net::TcpStream::connect(text("socket"))
                .await
                .map_err(|_| Told("no gate"))?;
            let met = tokio::io::copy(&mut gate, &mut tokio::io::sink()).await;
            whole(json!(met.is_ok()))
        }
        "stream" => streamed(chunks(vec![Ok("one "), Ok("two "), Ok("three")])),
        "stream_gated" => streamed(gated(text("socket"))),
        "stream_fail" => streamed(chunks(vec![Ok("one"), Err("half way")])),
        _ => whole(payload),
    })
}

/// Serves, if this is a child; then it does not return.
pub(crate) fn serve_if_child() {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let served = runtime.block_on(async {
        if std::env::var_os("FAIL_TO_START").is_some() {
            std::process::exit(3);
        }
        // Only what starts from a snapshot asks it: see the tests of failing starts.
        let runtime = Runtime::new(service_fn(handle));
        let runtime = runtime.register_snapstart_resource(Arc::new(Unable));
        runtime.run_concurrent().await
    });
    // The platform is gone: nothing is left to do for a child.
    std::process::exit(i32::from(served.is_err()));
}
