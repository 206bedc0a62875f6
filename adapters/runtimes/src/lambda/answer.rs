//! How the runtime's answers are read.

use std::sync::Arc;

use bytes::Bytes;
use faas_core::FunctionError;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::api::{Api, Claim};
use super::flight::Verdict;
use super::report;
use super::server::{Reply, accepted, refuse};
use super::stream::{Decoded, Decoder, content_type};

/// Bytes of a report of an error at most.
const REPORT_LIMIT: usize = 256 << 10;
const MODE: &str = "lambda-runtime-function-response-mode";

/// `POST …/response`.
pub(super) async fn respond(request: Request<Incoming>, api: &Arc<Api>, id: &str) -> Reply {
    let Some(claim) = api.claim(id) else {
        return unknown(request.into_body()).await;
    };
    let (head, body) = request.into_parts();
    let mode = head.headers.get(MODE);
    match mode.is_some_and(|mode| mode.as_bytes().eq_ignore_ascii_case(b"streaming")) {
        true => stream(&head.headers, body, claim).await,
        false => whole(&head.headers, body, claim).await,
    }
}

/// `POST …/error`.
pub(super) async fn fail(request: Request<Incoming>, api: &Arc<Api>, id: &str) -> Reply {
    let Some(claim) = api.claim(id) else {
        return unknown(request.into_body()).await;
    };
    let error = match read_report(request).await {
        Ok(error) => error,
        Err(error) => return settled(claim.end(Verdict::CutShort(error)), bad_shape()),
    };
    let reply = match error.kind == FunctionError::PROTOCOL {
        true => bad_shape(),
        false => accepted(),
    };
    settled(claim.end(Verdict::Failed(error)), reply)
}

/// What a runtime says of an error; the text is why that cannot be read.
pub(super) async fn read_report(request: Request<Incoming>) -> Result<FunctionError, String> {
    let (head, body) = request.into_parts();
    match Limited::new(body, REPORT_LIMIT).collect().await {
        Ok(body) => Ok(report::posted(&head.headers, &body.to_bytes())),
        Err(error) => Err(format!("its report of an error is not readable: {error}")),
    }
}

fn bad_shape() -> Reply {
    refuse(StatusCode::BAD_REQUEST, "InvalidErrorShape")
}

fn too_large() -> Reply {
    refuse(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge")
}

fn settled(known: bool, reply: Reply) -> Reply {
    match known {
        true => reply,
        false => refuse(StatusCode::BAD_REQUEST, "InvalidRequestID"),
    }
}

/// Reads the rest: a client that is still sending when it is refused may not see why. It costs one
/// of the sandbox's own connections, and no memory.
async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

async fn unknown(body: Incoming) -> Reply {
    drain(body).await;
    refuse(StatusCode::BAD_REQUEST, "InvalidRequestID")
}

fn over(limit: u64) -> Verdict {
    let message = format!("it answered more than {limit} bytes");
    let error = FunctionError::new(FunctionError::RESPONSE_TOO_LARGE, message);
    Verdict::Failed(error)
}

async fn whole(headers: &HeaderMap, mut body: Incoming, claim: Claim) -> Reply {
    let limit = usize::try_from(claim.limit).unwrap_or(usize::MAX);
    match Limited::new(&mut body, limit).collect().await {
        Ok(whole) => match whole.trailers().and_then(report::trailing) {
            Some(error) => settled(claim.end(Verdict::Failed(error)), accepted()),
            None => settled(
                claim.whole(content_type(headers), whole.to_bytes()),
                accepted(),
            ),
        },
        Err(error) if error.is::<LengthLimitError>() => {
            let verdict = over(claim.limit);
            let known = claim.end(verdict);
            drain(body).await;
            settled(known, too_large())
        }
        Err(error) => {
            let verdict = Verdict::CutShort(error.to_string());
            let invalid = refuse(StatusCode::BAD_REQUEST, "InvalidResponse");
            settled(claim.end(verdict), invalid)
        }
    }
}

/// Passes an answer on as it comes, as fast as it is read.
async fn stream(headers: &HeaderMap, mut body: Incoming, claim: Claim) -> Reply {
    let mut pass = Pass {
        chunks: None,
        left: claim.limit,
        claim,
    };
    let mut decoder = Decoder::new(headers);
    // What the request's own head says is known before there is any data.
    let mut decoded = decoder.feed(Bytes::new());
    loop {
        if let Err(verdict) = pass.on(decoded).await {
            let large = matches!(&verdict, Verdict::Failed(error) if error.kind == FunctionError::RESPONSE_TOO_LARGE);
            let known = pass.claim.end(verdict);
            drain(body).await;
            return settled(known, if large { too_large() } else { accepted() });
        }
        let frame = match body.frame().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                let verdict = Verdict::CutShort(error.to_string());
                let invalid = refuse(StatusCode::BAD_REQUEST, "InvalidResponse");
                return settled(pass.claim.end(verdict), invalid);
            }
            None => return pass.finish(decoder.finish(None)).await,
        };
        decoded = match frame.into_data() {
            Ok(data) => decoder.feed(data),
            Err(frame) => return pass.finish(decoder.finish(frame.trailers_ref())).await,
        };
    }
}

/// What has been decoded, on its way to who reads it.
struct Pass {
    claim: Claim,
    chunks: Option<mpsc::Sender<Bytes>>,
    left: u64,
}

impl Pass {
    /// Passes it on; the verdict if that was the end.
    async fn on(&mut self, decoded: Decoded) -> Result<(), Verdict> {
        if let Some(head) = decoded.head {
            self.chunks = self.claim.stream(head);
        }
        if let Some(data) = decoded.data {
            let left = self.left.checked_sub(data.len() as u64);
            self.left = left.ok_or_else(|| over(self.claim.limit))?;
            if let Some(chunks) = &self.chunks {
                // Nobody may read any longer; the runtime goes on, for Lambda cannot cancel.
                let _ = chunks.send(data).await;
            }
        }
        match decoded.error {
            Some(error) => Err(Verdict::Failed(error)),
            None => Ok(()),
        }
    }

    async fn finish(mut self, decoded: Decoded) -> Reply {
        let passed = self.on(decoded).await;
        let verdict = passed.err().unwrap_or(Verdict::Success);
        settled(self.claim.end(verdict), accepted())
    }
}
