//! The framed socket, with the guest of this crate and with guests that break it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::{
    ContentType, ErrorKind, FunctionError, Handler, HandlerCall, HandlerReply, HookName, Retry,
};
use faas_function::Contract;
use faas_function::instance::{FunctionInstance, Health};
use faas_function::registry::FunctionConfig;
use faas_resource::SandboxHook;
use faas_resource::agent::ExitCause;
use faas_resource::endpoint::Address;
use faas_resource::hook::Reach;
use faas_runtimes::{FramedSocket, framed};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::common::{Slots, call, clock, complete, config, connect, failure, sandbox};

struct Fixture {
    contract: FramedSocket,
    directory: tempfile::TempDir,
    slots: Arc<Slots>,
}

impl Fixture {
    async fn new() -> Self {
        let contract = FramedSocket::new(HookName::new("framed").unwrap(), clock());
        let contract = contract.grace(Duration::from_millis(50));
        let directory = tempfile::tempdir().unwrap();
        let host = directory.path().to_owned();
        let reach = Reach::Mount {
            guest: host.clone(),
            host,
        };
        let prepared = contract.prepare(sandbox(), Some(reach)).await.unwrap();
        assert!(prepared.environment.contains_key(framed::SOCKET));
        let slots = Arc::default();
        Self {
            contract,
            directory,
            slots,
        }
    }

    async fn serve(
        &self,
        handler: impl Handler,
        config: FunctionConfig,
    ) -> Arc<dyn FunctionInstance> {
        let path = self.directory.path().join("faas.sock");
        let handler: Arc<dyn Handler> = Arc::new(handler);
        tokio::spawn(async move { framed::guest::serve(&path, handler, 1).await });
        self.contract
            .connect(connect(Address::Hook, config))
            .await
            .unwrap()
    }

    /// A guest that has greeted, and its instance.
    async fn raw(&self) -> (UnixStream, Arc<dyn FunctionInstance>) {
        let path = self.directory.path().join("faas.sock");
        let mut guest = UnixStream::connect(path).await.unwrap();
        guest
            .write_all(&[2, 0, 0, 0, 0, framed::codec::VERSION])
            .await
            .unwrap();
        let instance = self
            .contract
            .connect(connect(Address::Hook, config()))
            .await
            .unwrap();
        (guest, instance)
    }
}

async fn echo(call: HandlerCall) -> Result<HandlerReply, FunctionError> {
    Ok(call.payload.into())
}

#[tokio::test]
async fn answers_again_and_again() {
    let fixture = Fixture::new().await;
    let instance = fixture.serve(echo, config()).await;
    for text in ["a", "", "c"] {
        let answer = instance
            .invoke(call(text), fixture.slots.permit())
            .await
            .unwrap();
        assert_eq!(complete(answer).await.payload.to_text().unwrap(), text);
    }
    assert_eq!(fixture.slots.released(), 3);
}

#[tokio::test]
async fn streams_and_their_errors_pass() {
    let fixture = Fixture::new().await;
    let stream = |_: HandlerCall| async {
        let end = Err(FunctionError::new("Broken", "half way"));
        let chunks = futures::stream::iter([Ok(Bytes::from_static(b"x")), end]).boxed();
        Ok(HandlerReply::Stream(ContentType::OCTETS, chunks))
    };
    let instance = fixture.serve(stream, config()).await;
    let answer = instance
        .invoke(call(""), fixture.slots.permit())
        .await
        .unwrap();
    assert!(!answer.body.is_whole());
    assert_eq!(failure(answer).await.kind, "Broken");
    drop(
        instance
            .invoke(call(""), fixture.slots.permit())
            .await
            .unwrap(),
    );
    fixture.slots.wait(2).await;
    assert_eq!(instance.health(), Health::Ready);
}

#[tokio::test]
async fn a_timeout_cancels_and_the_guest_returns() {
    let fixture = Fixture::new().await;
    let mut config = config();
    config.timeout = Duration::from_millis(100);
    let hangs = |call: HandlerCall| async move {
        match call.payload.is_empty() {
            true => futures::future::pending().await,
            false => Ok(call.payload.into()),
        }
    };
    let instance = fixture.serve(hangs, config).await;
    let answer = instance
        .invoke(call(""), fixture.slots.permit())
        .await
        .unwrap();
    assert_eq!(failure(answer).await.kind, FunctionError::TIMEOUT);
    fixture.slots.wait(1).await;
    let answer = instance
        .invoke(call("x"), fixture.slots.permit())
        .await
        .unwrap();
    complete(answer).await;
}

#[tokio::test]
async fn a_response_is_bounded() {
    let fixture = Fixture::new().await;
    let mut config = config();
    config.response_limit = 3;
    let instance = fixture.serve(echo, config).await;
    let answer = instance
        .invoke(call("long"), fixture.slots.permit())
        .await
        .unwrap();
    assert_eq!(
        failure(answer).await.kind,
        FunctionError::RESPONSE_TOO_LARGE
    );
}

#[tokio::test]
async fn garbage_is_the_functions_failure_and_costs_the_instance() {
    let fixture = Fixture::new().await;
    let (mut guest, instance) = fixture.raw().await;
    let garbage = async {
        guest.read_u8().await.unwrap();
        guest.write_all(&[0xff; 8]).await.unwrap();
    };
    let (answer, ()) = tokio::join!(instance.invoke(call(""), fixture.slots.permit()), garbage);
    assert_eq!(failure(answer.unwrap()).await.kind, FunctionError::PROTOCOL);
    instance.failed().await;
}

#[tokio::test]
async fn a_guest_that_dies_is_unavailable() {
    let fixture = Fixture::new().await;
    let (mut guest, instance) = fixture.raw().await;
    let dies = async move {
        guest.read_u8().await.unwrap();
    };
    let (answer, ()) = tokio::join!(instance.invoke(call(""), fixture.slots.permit()), dies);
    let error = answer.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Ambiguous)
    );
    instance.failed().await;
}

#[tokio::test]
async fn a_guest_that_exits_in_the_midst_of_a_call_has_failed() {
    let fixture = Fixture::new().await;
    let (mut guest, instance) = fixture.raw().await;
    let exits = async {
        guest.read_u8().await.unwrap();
        drop(guest);
        let cause = ExitCause::Code(7);
        fixture.contract.release(sandbox(), &cause).await;
    };
    let (answer, ()) = tokio::join!(instance.invoke(call(""), fixture.slots.permit()), exits);
    let error = failure(answer.unwrap()).await;
    assert_eq!(error.kind, FunctionError::EXIT);
    assert!(error.message.contains("code 7"), "{error}");
    instance.failed().await;
    fixture.slots.wait(1).await;
}

#[tokio::test]
async fn a_guest_that_died_while_idle_is_not_given_the_call() {
    let fixture = Fixture::new().await;
    let (guest, instance) = fixture.raw().await;
    drop(guest);
    let (mut again, _) = fixture.raw().await;
    let mut invoke = instance.invoke(call(""), fixture.slots.permit());
    tokio::select! {
        _ = &mut invoke => panic!("nobody answers"),
        read = again.read_u8() => drop(read.unwrap()),
    }
}

#[tokio::test]
async fn release_frees() {
    let fixture = Fixture::new().await;
    let instance = fixture.serve(echo, config()).await;
    let cause = ExitCause::Stopped;
    fixture.contract.release(sandbox(), &cause).await;
    instance.failed().await;
    assert!(!fixture.directory.path().join("faas.sock").exists());
    let error = instance
        .invoke(call(""), fixture.slots.permit())
        .await
        .unwrap_err();
    assert_eq!(error.retry(), Retry::Safe);
}
