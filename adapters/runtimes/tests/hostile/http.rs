//! HTTP servers that are none, or not for long.

use std::time::Duration;

use faas_core::{ErrorKind, FunctionError, Invocation, InvocationId, Payload, Retry};
use faas_function::instance::Health;
use faas_resource::endpoint::Address;
use faas_runtimes::Http;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{Victim, answered, clock, config, connect, failure, soon};

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(200);
const LIMIT: u64 = 1 << 20;

/// A server that says what the test has it say, byte for byte.
struct Server(TcpListener);

impl Server {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    async fn victim(&self, timeout: Duration) -> Victim<Http> {
        let mut connect = connect(config(timeout, LIMIT));
        let address = self.0.local_addr().expect("its own");
        connect.endpoint = Address::Tcp(address).into();
        let victim = Victim::at(Http::new(clock()).grace(SHORT), connect).await;
        // That of the look at whether it listens.
        drop(self.accept().await);
        victim
    }

    async fn accept(&self) -> TcpStream {
        soon(self.0.accept()).await.expect("a connection").0
    }

    /// Accepts a connection and reads a request of `hi`; those without one are looks at whether
    /// anybody listens.
    async fn request(&self) -> TcpStream {
        loop {
            let mut stream = self.accept().await;
            if read(&mut stream).await {
                return stream;
            }
        }
    }
}

/// Reads a request; whether there was one.
async fn read(stream: &mut TcpStream) -> bool {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\nhi") {
        match soon(stream.read_u8()).await {
            Ok(byte) => request.push(byte),
            Err(_) => return false,
        }
    }
    true
}

fn answer(text: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    )
}

#[tokio::test]
async fn garbage_is_named_and_costs_the_instance() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1000));
    for garbage in ["\0\0\0\0\r\n\r\n", "SSH-2.0-OpenSSH\r\n\r\n", &long, &many] {
        let server = Server::new().await;
        let victim = server.victim(HOUR).await;
        let speaks = async {
            let mut stream = server.request().await;
            // It may be cut off before all is written.
            let _written = stream.write_all(garbage.as_bytes()).await;
            stream
        };
        let (reply, _stream) = tokio::join!(victim.invoke("hi"), speaks);
        assert_eq!(failure(reply).await.kind, FunctionError::PROTOCOL);
        let why = victim.given_up().await;
        assert!(why.contains("does not speak HTTP"), "{why}");
    }
}

#[tokio::test]
async fn more_than_the_limit_is_refused_as_it_comes() {
    for head in [
        "content-length: 3000000\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n",
    ] {
        let server = Server::new().await;
        let victim = server.victim(HOUR).await;
        let speaks = async {
            let mut stream = server.request().await;
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            let head = format!("HTTP/1.1 200 OK\r\n{head}");
            let mut written = stream.write_all(head.as_bytes()).await;
            for _ in 0..40 {
                if written.is_ok() {
                    written = stream.write_all(chunk.as_bytes()).await;
                }
            }
            stream
        };
        let ask = async { failure(victim.invoke("hi").await).await };
        let (error, stream) = tokio::join!(ask, speaks);
        assert_eq!(error.kind, FunctionError::RESPONSE_TOO_LARGE);
        drop(stream);
        victim.freed(1).await;
        assert_eq!(victim.instance.health(), Health::Ready);
        victim.nothing_left().await;
    }
}

#[tokio::test]
async fn a_timeout_cancels_and_who_does_not_end_then_is_given_up() {
    let server = Server::new().await;
    let victim = server.victim(SHORT).await;
    let (reply, stream) = tokio::join!(victim.invoke("hi"), server.request());
    assert_eq!(failure(reply).await.kind, FunctionError::TIMEOUT);
    drop(stream);
    // It has closed its side: it is idle.
    victim.freed(1).await;
    assert_eq!(victim.instance.health(), Health::Ready);
    let (reply, _stream) = tokio::join!(victim.invoke("hi"), server.request());
    assert_eq!(failure(reply).await.kind, FunctionError::TIMEOUT);
    victim.freed(2).await;
    let why = victim.given_up().await;
    assert!(why.contains("does not end"), "{why}");
}

#[tokio::test]
async fn a_call_that_is_broken_off_by_a_server_that_serves_is_a_failure() {
    for begun in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal"] {
        let server = Server::new().await;
        let victim = server.victim(HOUR).await;
        let breaks = async {
            let mut stream = server.request().await;
            stream
                .write_all(begun.as_bytes())
                .await
                .expect("it is read");
        };
        let (reply, ()) = tokio::join!(victim.invoke("hi"), breaks);
        assert_eq!(failure(reply).await.kind, FunctionError::PROTOCOL);
        victim.freed(1).await;
        assert_eq!(victim.instance.health(), Health::Ready);
        victim.nothing_left().await;
    }
}

#[tokio::test]
async fn a_server_that_goes_away_is_unavailable() {
    let server = Server::new().await;
    let victim = server.victim(HOUR).await;
    let goes = async move {
        let stream = server.request().await;
        drop((server, stream));
    };
    let (reply, ()) = tokio::join!(victim.invoke("hi"), goes);
    let error = reply.expect_err("nobody can say how far it came");
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Ambiguous)
    );
    let late = victim.invoke("hi").await.expect_err("it is gone");
    assert_eq!(
        (late.kind(), late.retry()),
        (ErrorKind::Unavailable, Retry::Safe)
    );
    victim.given_up().await;
}

#[tokio::test]
async fn a_connection_serves_again_until_the_server_closes_it() {
    let server = Server::new().await;
    let victim = server.victim(HOUR).await;
    let serves = async {
        let mut stream = server.request().await;
        stream
            .write_all(answer("one").as_bytes())
            .await
            .expect("it is read");
        stream
    };
    let (reply, mut stream) = tokio::join!(victim.invoke("hi"), serves);
    assert_eq!(answered(reply).await, "one");
    let serves = async {
        assert!(read(&mut stream).await, "it is used again");
        stream
            .write_all(answer("two").as_bytes())
            .await
            .expect("it is read");
    };
    let (reply, ()) = tokio::join!(victim.invoke("hi"), serves);
    assert_eq!(answered(reply).await, "two");
    drop(stream);
    let serves = async {
        let mut stream = server.request().await;
        stream
            .write_all(answer("three").as_bytes())
            .await
            .expect("it is read");
        stream
    };
    let call = async {
        match victim.invoke("hi").await {
            // It was sent before anybody heard that the connection is closed: nobody can say what
            // came of it. The next call takes another connection.
            Err(error) => {
                assert_eq!(
                    (error.kind(), error.retry()),
                    (ErrorKind::Unavailable, Retry::Ambiguous)
                );
                victim.invoke("hi").await
            }
            answer => answer,
        }
    };
    let (reply, _stream) = tokio::join!(call, serves);
    assert_eq!(answered(reply).await, "three");
    assert_eq!(victim.instance.health(), Health::Ready);
    victim.nothing_left().await;
}

#[tokio::test]
async fn attributes_that_are_no_header_are_the_callers_fault() {
    let server = Server::new().await;
    let victim = server.victim(HOUR).await;
    let function = "hello".parse().expect("a name");
    let id = InvocationId::from_u128(1);
    let bad = Invocation::new(id, function, Payload::text("hi")).with_attribute("a b", "c");
    let error = victim.send(bad).await.expect_err("it is no header");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    victim.freed(1).await;
    victim.nothing_left().await;
}
