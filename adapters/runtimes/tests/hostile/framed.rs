//! Guests that break the framed protocol.

use std::path::PathBuf;
use std::time::Duration;

use faas_core::{ErrorKind, FunctionError, HookName, Retry};
use faas_function::Contract;
use faas_function::instance::Health;
use faas_resource::SandboxHook;
use faas_resource::hook::Reach;
use faas_runtimes::FramedSocket;
use faas_runtimes::framed::codec::{FRAME_LIMIT, GREETING};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::common::{SANDBOX, Victim, answered, clock, config, connect, failure, soon};

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(200);
const LIMIT: u64 = 1 << 20;

fn contract() -> FramedSocket {
    let contract = FramedSocket::new(HookName::new("framed").expect("a name"), clock());
    contract.grace(SHORT)
}

struct Door {
    contract: FramedSocket,
    socket: PathBuf,
    _root: tempfile::TempDir,
}

impl Door {
    async fn of(contract: FramedSocket) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let host = root.path().to_owned();
        let guest = host.clone();
        let prepared = contract.prepare(SANDBOX, Some(Reach::Mount { host, guest }));
        prepared.await.expect("a socket");
        let socket = root.path().join("faas.sock");
        Self {
            contract,
            socket,
            _root: root,
        }
    }

    async fn new() -> Self {
        Self::of(contract()).await
    }

    async fn knock(&self) -> UnixStream {
        UnixStream::connect(&self.socket)
            .await
            .expect("a connection")
    }

    async fn greet(&self) -> UnixStream {
        let mut guest = self.knock().await;
        guest.write_all(&GREETING).await.expect("it is read");
        guest
    }

    async fn victim(&self, timeout: Duration) -> Victim<FramedSocket> {
        Victim::new(self.contract.clone(), config(timeout, LIMIT)).await
    }
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 1).expect("it is short");
    [&length.to_le_bytes()[..], &[kind], payload].concat()
}

fn answer(data: &[u8]) -> Vec<u8> {
    let head = br#"{"content_type":"text/plain"}"#;
    [frame(1, head), frame(2, data), frame(3, b"{}")].concat()
}

/// Reads one request to its end.
async fn request(guest: &mut UnixStream) {
    loop {
        let length = guest.read_u32_le().await.expect("a frame");
        let mut rest = vec![0; length as usize];
        guest.read_exact(&mut rest).await.expect("all of it");
        if rest[0] == 3 {
            return;
        }
    }
}

async fn is_closed(mut guest: UnixStream) {
    let read = soon(guest.read(&mut [0; 1])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "it is still open");
}

/// What comes of a call that is answered like that.
async fn answers(bytes: &[u8], timeout: Duration) -> (FunctionError, String) {
    let door = Door::new().await;
    let mut guest = door.greet().await;
    let victim = door.victim(timeout).await;
    let speaks = async {
        request(&mut guest).await;
        // It may be cut off before all is written.
        let _written = guest.write_all(bytes).await;
    };
    let (answer, ()) = tokio::join!(victim.invoke("hi"), speaks);
    let error = failure(answer).await;
    drop(guest);
    (error, victim.given_up().await)
}

#[tokio::test]
async fn only_guests_that_greet_are_let_in() {
    let door = Door::new().await;
    let announced = [frame(2, b"").as_slice(), &[0xff; 8]].concat();
    let greetings: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n",
        &[0xff; 6],
        &[2, 0, 0, 0, 0, 99],
        &announced,
    ];
    for greeting in greetings {
        let mut guest = door.knock().await;
        guest.write_all(greeting).await.expect("it is read");
        is_closed(guest).await;
    }
    let mut guest = door.greet().await;
    let victim = door.victim(HOUR).await;
    let serves = async {
        request(&mut guest).await;
        guest.write_all(&answer(b"ho")).await.expect("it is read");
    };
    let (reply, ()) = tokio::join!(victim.invoke("hi"), serves);
    assert_eq!(answered(reply).await, "ho");
    drop(guest);
    victim.nothing_left().await;
}

#[tokio::test]
async fn a_guest_that_never_greets_is_given_up() {
    let door = Door::of(contract().start_timeout(SHORT)).await;
    let _silent = door.knock().await;
    let connected = soon(door.contract.connect(connect(config(HOUR, LIMIT)))).await;
    let error = connected.err().expect("nobody greets");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("not ready within"), "{error}");
}

#[tokio::test]
async fn garbage_is_named_and_costs_the_instance() {
    let oversize = u32::try_from(FRAME_LIMIT + 1)
        .expect("it is short")
        .to_le_bytes();
    let kind = frame(9, b"");
    let no_head = frame(2, b"data");
    let no_json = frame(1, b"[");
    let head = frame(1, br#"{"content_type":"a/b"}"#);
    let no_end = [&head[..], &frame(3, b"true")].concat();
    let two_heads = [&head[..], &head].concat();
    let cases = [
        &[0; 4],
        &oversize[..],
        &kind,
        &no_head,
        &no_json,
        &no_end,
        &two_heads,
    ];
    for bytes in cases {
        let (error, why) = answers(bytes, HOUR).await;
        assert_eq!(error.kind, FunctionError::PROTOCOL, "{bytes:?}");
        assert!(why.contains("broke off"), "{why}");
    }
}

#[tokio::test]
async fn more_than_the_limit_is_refused_as_it_comes() {
    let head = frame(1, br#"{"content_type":"a/b"}"#);
    let data = frame(2, &vec![0; LIMIT as usize / 2]);
    let endless = [&head[..], &data, &data, &data].concat();
    // It has until its timeout to connect again.
    let (error, why) = answers(&endless, 5 * SHORT).await;
    assert_eq!(error.kind, FunctionError::RESPONSE_TOO_LARGE);
    assert!(why.contains("connect again"), "{why}");
}

#[tokio::test]
async fn two_answers_to_one_call_are_one_too_many() {
    let door = Door::new().await;
    let mut guest = door.greet().await;
    let victim = door.victim(HOUR).await;
    let speaks = async {
        request(&mut guest).await;
        let twice = [answer(b"one"), answer(b"two")].concat();
        guest.write_all(&twice).await.expect("it is read");
    };
    let (reply, ()) = tokio::join!(victim.invoke("hi"), speaks);
    // The first is a good answer; what the second would be the answer to is nobody's to guess.
    assert_eq!(answered(reply).await, "one");
    let next = victim
        .invoke("again")
        .await
        .expect_err("nothing is sent there");
    assert_eq!(
        (next.kind(), next.retry()),
        (ErrorKind::Unavailable, Retry::Safe)
    );
    drop(guest);
    victim.given_up().await;
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_costs_the_instance() {
    let door = Door::new().await;
    let mut guest = door.greet().await;
    let victim = door.victim(HOUR).await;
    guest.write_all(&answer(b"ho")).await.expect("it is sent");
    let error = victim.invoke("hi").await.expect_err("it spoke out of turn");
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Safe)
    );
    drop(guest);
    let why = victim.given_up().await;
    assert!(why.contains("out of turn"), "{why}");
}

#[tokio::test]
async fn an_answer_after_the_timeout_reaches_nobody() {
    let door = Door::new().await;
    let mut guest = door.greet().await;
    let victim = door.victim(SHORT).await;
    let error = failure(victim.invoke("hi").await).await;
    assert_eq!(error.kind, FunctionError::TIMEOUT);
    request(&mut guest).await;
    // The connection is closed: that was its cancellation.
    let _refused = guest.write_all(&answer(b"late")).await;
    is_closed(guest).await;
    let mut guest = door.greet().await;
    victim.freed(1).await;
    let serves = async {
        request(&mut guest).await;
        guest.write_all(&answer(b"ho")).await.expect("it is read");
    };
    let (reply, ()) = tokio::join!(victim.invoke("again"), serves);
    assert_eq!(answered(reply).await, "ho");
    assert_eq!(victim.instance.health(), Health::Ready);
    drop(guest);
    victim.nothing_left().await;
}

#[tokio::test]
async fn dribbling_and_flooding_end_with_the_timeout() {
    let head = frame(1, br#"{"content_type":"a/b"}"#);
    // The length of a frame that is never all there, byte by byte; and parts that hold nothing.
    let dribble = (vec![0, 0, 1], vec![0]);
    let flood = (head, frame(2, b"").repeat(1000));
    for (first, then) in [dribble, flood] {
        let door = Door::new().await;
        let mut guest = door.greet().await;
        let victim = door.victim(SHORT).await;
        let speaks = tokio::spawn(async move {
            request(&mut guest).await;
            let mut written = guest.write_all(&first).await;
            while written.is_ok() {
                written = guest.write_all(&then).await;
                tokio::task::yield_now().await;
            }
        });
        let error = failure(victim.invoke("hi").await).await;
        assert_eq!(error.kind, FunctionError::TIMEOUT);
        soon(speaks).await.expect("its connection is closed");
        victim.given_up().await;
    }
}

#[tokio::test]
async fn a_guest_that_does_not_read_ends_with_the_timeout() {
    let door = Door::new().await;
    let guest = door.greet().await;
    let victim = door.victim(SHORT).await;
    let error = failure(victim.invoke(vec![0; 6 << 20]).await).await;
    assert_eq!(error.kind, FunctionError::TIMEOUT);
    victim.given_up().await;
    drop(guest);
}

#[tokio::test]
async fn a_guest_that_leaves_before_it_has_the_request_was_not_called() {
    let door = Door::new().await;
    let mut guest = door.greet().await;
    let victim = door.victim(HOUR).await;
    let leaves = async move {
        let mut some = [0; 1024];
        guest.read_exact(&mut some).await.expect("the beginning");
    };
    let (reply, ()) = tokio::join!(victim.invoke(vec![0; 6 << 20]), leaves);
    let error = reply.expect_err("it is gone");
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Safe)
    );
    victim.given_up().await;
}

#[tokio::test]
async fn a_guest_that_leaves_while_it_is_idle_is_noticed() {
    let door = Door::new().await;
    let guest = door.greet().await;
    let victim = door.victim(HOUR).await;
    drop(guest);
    let error = victim.invoke("hi").await.expect_err("nobody is there");
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Safe)
    );
    let why = victim.given_up().await;
    assert!(why.contains("has left"), "{why}");
}

#[tokio::test]
async fn connections_are_bounded() {
    let door = Door::new().await;
    let mut guests = Vec::new();
    for _ in 0..300 {
        guests.push(door.greet().await);
    }
    let victim = door.victim(HOUR).await;
    // Those over the bound are closed; the others wait for calls that never come.
    let mut closed = 0;
    let closes = async {
        while closed < 300 - 256 {
            closed = 0;
            for guest in &guests {
                let mut byte = [0];
                closed += usize::from(matches!(guest.try_read(&mut byte), Ok(0)));
            }
            tokio::task::yield_now().await;
        }
    };
    soon(closes).await;
    drop(guests);
    victim.nothing_left().await;
}
