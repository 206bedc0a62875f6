//! Runtimes that break the Runtime API.

use std::time::Duration;

use faas_core::{ErrorKind, Frame, FunctionError, HookName, Retry};
use faas_function::Contract;
use faas_function::instance::Health;
use faas_resource::SandboxHook;
use faas_resource::hook::Reach;
use faas_runtimes::LambdaRuntime;
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{SANDBOX, Victim, answered, clock, config, connect, failure, soon};

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(200);
const LIMIT: u64 = 1 << 20;
const ID: &str = "00000000-0000-0000-0000-000000000001";

fn contract() -> LambdaRuntime {
    let contract = LambdaRuntime::new(HookName::new("lambda").expect("a name"), clock());
    contract.grace(SHORT)
}

/// A runtime that says what the test has it say, byte for byte.
#[derive(Clone)]
struct Raw(String);

impl Raw {
    async fn of(contract: &LambdaRuntime) -> Self {
        let prepared = contract.prepare(SANDBOX, Some(Reach::Loopback)).await;
        let prepared = prepared.expect("a listener");
        Self(prepared.environment["AWS_LAMBDA_RUNTIME_API"].clone())
    }

    async fn open(&self) -> TcpStream {
        TcpStream::connect(&self.0).await.expect("a connection")
    }

    /// Sends bytes on a connection of their own; the status of the reply, none if there is none.
    async fn send(&self, bytes: &[u8]) -> Option<u16> {
        let mut stream = self.open().await;
        // It may be refused, and closed, before it is read.
        let _written = stream.write_all(bytes).await;
        status(&mut stream).await
    }

    /// Asks for an invocation, whose answer the returned connection waits for.
    async fn ask(&self) -> TcpStream {
        let mut stream = self.open().await;
        let next = head("GET", "next", "content-length: 0\r\n");
        stream.write_all(next.as_bytes()).await.expect("it is read");
        stream
    }

    async fn post(&self, path: &str, body: &str) -> Option<u16> {
        let length = format!("content-length: {}\r\n", body.len());
        self.send(format!("{}{body}", head("POST", path, &length)).as_bytes())
            .await
    }
}

fn head(method: &str, path: &str, headers: &str) -> String {
    format!("{method} /2018-06-01/runtime/invocation/{path} HTTP/1.1\r\nhost: h\r\n{headers}\r\n")
}

/// The status of a reply.
async fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut reply = Vec::new();
    while !reply.ends_with(b"\r\n") {
        match soon(stream.read_u8()).await {
            Ok(byte) => reply.push(byte),
            Err(_) => return None,
        }
    }
    String::from_utf8_lossy(&reply)
        .split(' ')
        .nth(1)?
        .parse()
        .ok()
}

/// A victim whose runtime has asked for work, on the connection that is returned.
async fn victim(timeout: Duration) -> (Victim<LambdaRuntime>, Raw, TcpStream) {
    let contract = contract();
    let raw = Raw::of(&contract).await;
    let asked = raw.ask().await;
    let victim = Victim::new(contract, config(timeout, LIMIT)).await;
    (victim, raw, asked)
}

#[tokio::test]
async fn garbage_is_refused_and_disturbs_no_call() {
    let (victim, raw, mut asked) = victim(HOUR).await;
    let speaks = async {
        assert_eq!(status(&mut asked).await, Some(200));
        for garbage in [
            &b"\0\xff\r\n\r\n"[..],
            b"HELO\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
        ] {
            let refused = raw.send(garbage).await;
            assert!(refused.is_none_or(|status| status >= 400), "{refused:?}");
        }
        let endless = format!(
            "{}x: {}\r\n",
            head("GET", "next", "").trim_end(),
            "y".repeat(1 << 20)
        );
        let refused = raw.send(endless.as_bytes()).await;
        assert!(refused.is_none_or(|status| status >= 400), "{refused:?}");
        assert_eq!(raw.post("nobody/response", "").await, Some(400));
        assert_eq!(raw.post("nobody/error", "{}").await, Some(400));
        assert_eq!(raw.post("../../x", "").await, Some(404));
        assert_eq!(
            raw.send(head("DELETE", "next", "").as_bytes()).await,
            Some(404)
        );
        assert_eq!(raw.post(&format!("{ID}/response"), "ho").await, Some(202));
    };
    let (reply, ()) = tokio::join!(victim.invoke("hi"), speaks);
    assert_eq!(answered(reply).await, "ho");
    assert_eq!(victim.instance.health(), Health::Ready);
    drop(asked);
    victim.nothing_left().await;
}

#[tokio::test]
async fn a_call_is_answered_once_though_two_answer_at_once() {
    let (victim, raw, mut asked) = victim(HOUR).await;
    let speaks = async {
        assert_eq!(status(&mut asked).await, Some(200));
        // One that has begun to answer, and has not ended.
        let mut first = raw.open().await;
        let begun = head("POST", &format!("{ID}/response"), "content-length: 3\r\n");
        first
            .write_all(format!("{begun}on").as_bytes())
            .await
            .expect("it is read");
        // Its beginning is a claim; until it is made the other may be first.
        let mut other = raw.post(&format!("{ID}/error"), "{}").await;
        if other == Some(400) {
            first.write_all(b"e").await.expect("it is read");
            other = status(&mut first).await;
        }
        assert_eq!(other, Some(202));
        assert_eq!(raw.post(&format!("{ID}/response"), "two").await, Some(400));
    };
    let (reply, ()) = tokio::join!(victim.invoke("hi"), speaks);
    let completed = soon(reply.expect("an answer").collect(64))
        .await
        .expect("a trailer");
    assert!(["one", ""].contains(&&*String::from_utf8_lossy(completed.payload.as_bytes())));
    drop(asked);
    victim.nothing_left().await;
}

#[tokio::test]
async fn an_answer_after_the_timeout_reaches_nobody() {
    let (victim, raw, asked) = victim(SHORT).await;
    let error = failure(victim.invoke("hi").await).await;
    assert_eq!(error.kind, FunctionError::TIMEOUT);
    assert_eq!(raw.post(&format!("{ID}/response"), "late").await, Some(400));
    victim.freed(1).await;
    drop(asked);
    victim.given_up().await;
}

#[tokio::test]
async fn an_endless_answer_is_over_the_limit_and_costs_the_instance() {
    let (victim, raw, mut asked) = victim(SHORT * 2).await;
    let endless = tokio::spawn(async move {
        assert_eq!(status(&mut asked).await, Some(200));
        let mut stream = raw.open().await;
        let begun = head(
            "POST",
            &format!("{ID}/response"),
            "transfer-encoding: chunked\r\n",
        );
        let mut written = stream.write_all(begun.as_bytes()).await;
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while written.is_ok() {
            written = stream.write_all(chunk.as_bytes()).await;
        }
    });
    let error = failure(victim.invoke("hi").await).await;
    assert_eq!(error.kind, FunctionError::RESPONSE_TOO_LARGE);
    let why = victim.given_up().await;
    assert!(why.contains("does not ask for more"), "{why}");
    soon(endless).await.expect("its connection is closed");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure() {
    for body in [
        "content-length: 9\r\n\r\nhal",
        "transfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let (victim, raw, mut asked) = victim(HOUR).await;
        let speaks = async {
            assert_eq!(status(&mut asked).await, Some(200));
            let begun = head("POST", &format!("{ID}/response"), "");
            let mut stream = raw.open().await;
            let begun = format!(
                "{}{body}",
                begun.trim_end_matches("\r\n").to_owned() + "\r\n"
            );
            stream
                .write_all(begun.as_bytes())
                .await
                .expect("it is read");
            stream.shutdown().await.expect("its end is sent");
            let _ = status(&mut stream).await;
        };
        let (reply, ()) = tokio::join!(victim.invoke("hi"), speaks);
        let error = failure(reply).await;
        assert_eq!(error.kind, FunctionError::PROTOCOL, "{error}");
        // It can ask for more, and has then its slot again.
        let again = raw.ask().await;
        victim.freed(1).await;
        assert_eq!(victim.instance.health(), Health::Ready);
        drop((asked, again));
        victim.nothing_left().await;
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_for_the_next_is_a_failure() {
    let (victim, raw, mut asked) = victim(HOUR).await;
    let drops = async {
        assert_eq!(status(&mut asked).await, Some(200));
        raw.ask().await
    };
    let (reply, _again) = tokio::join!(victim.invoke("hi"), drops);
    let error = failure(reply).await;
    assert_eq!(error.kind, FunctionError::PROTOCOL);
    victim.freed(1).await;
    drop((asked, _again));
    victim.nothing_left().await;
}

#[tokio::test]
async fn a_sandbox_that_hoards_connections_is_given_up() {
    let contract = contract().start_timeout(SHORT);
    let raw = Raw::of(&contract).await;
    let mut hoard = Vec::new();
    for _ in 0..80 {
        let mut stream = raw.open().await;
        stream
            .write_all(b"GET /2018")
            .await
            .expect("it is buffered");
        hoard.push(stream);
    }
    let asked = raw.ask().await;
    let connected = soon(contract.connect(connect(config(HOUR, LIMIT)))).await;
    let error = connected.err().expect("nobody can ask");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop((hoard, asked));
    contract
        .release(SANDBOX, &faas_resource::agent::ExitCause::Stopped)
        .await;
}

#[tokio::test]
async fn an_error_of_its_start_after_the_start_costs_the_instance() {
    let (victim, raw, mut asked) = victim(HOUR).await;
    let speaks = async {
        assert_eq!(status(&mut asked).await, Some(200));
        let path = "../init/error";
        let body = r#"{"errorType":"Late","errorMessage":"after all"}"#;
        let length = format!("content-length: {}\r\n", body.len());
        let post = head("POST", path, &length).replace("invocation/../", "");
        assert_eq!(
            raw.send(format!("{post}{body}").as_bytes()).await,
            Some(202)
        );
    };
    let (reply, ()) = tokio::join!(victim.invoke("hi"), speaks);
    let error = reply.expect_err("nobody can say how far it came");
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Ambiguous)
    );
    drop(asked);
    let why = victim.given_up().await;
    assert!(why.contains("after all"), "{why}");
}

/// More than what fits into the buffers of a loopback connection.
const FLOOD: usize = 64 << 20;

#[tokio::test]
async fn a_stream_that_nobody_reads_is_not_taken_in() {
    let contract = contract();
    let raw = Raw::of(&contract).await;
    let mut asked = raw.ask().await;
    let victim = Victim::new(contract, config(HOUR, 2 * FLOOD as u64)).await;
    let begins = async {
        assert_eq!(status(&mut asked).await, Some(200));
        let mut stream = raw.open().await;
        let mode = "lambda-runtime-function-response-mode: streaming\r\n";
        let headers = format!("content-length: {FLOOD}\r\n{mode}");
        let begun = head("POST", &format!("{ID}/response"), &headers);
        stream
            .write_all(begun.as_bytes())
            .await
            .expect("it is read");
        stream.write_all(b"first").await.expect("it is read");
        stream
    };
    let (reply, stream) = tokio::join!(victim.invoke("hi"), begins);
    let mut body = reply.expect("it has begun").body.into_frames();
    let first = soon(body.next()).await;
    assert!(matches!(first, Some(Ok(Frame::Data(_)))));
    // Written as long as anybody takes it in, which must end before all of it is written.
    let (mut written, mut idle, chunk) = (5, 0, vec![0; 64 << 10]);
    while idle < 2000 {
        let room = chunk.len().min(FLOOD - written);
        assert!(room > 0, "all of it was taken in, and nobody reads");
        match stream.try_write(&chunk[..room]) {
            Ok(more) => (written, idle) = (written + more, 0),
            Err(_) => idle += 1,
        }
        tokio::task::yield_now().await;
    }
    // Who reads gets all of it.
    let rest = tokio::spawn(async move {
        let mut stream = stream;
        while written < FLOOD {
            let room = chunk.len().min(FLOOD - written);
            stream.write_all(&chunk[..room]).await.expect("it is read");
            written += room;
        }
        stream
    });
    let mut read = 5;
    while let Some(frame) = soon(body.next()).await {
        match frame.expect("its data") {
            Frame::Data(data) => read += data.len(),
            Frame::Trailer(_) => break,
            _ => panic!("a frame of an unknown kind"),
        }
    }
    assert_eq!(read, FLOOD);
    drop((soon(rest).await.expect("all is written"), asked, body));
    victim.nothing_left().await;
}
