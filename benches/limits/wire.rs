//! How many bytes an invocation through the framed socket has on the wire.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use faas::core::{
    Clock, HandlerName, InstanceId, Invocation, InvocationId, RevisionNumber, SandboxId, TokioClock,
};
use faas::function::contract::{Connect, Contract};
use faas::function::instance::{Permit, SlotOwner};
use faas::function::registry::{FunctionConfig, FunctionRevision};
use faas::resource::Executable;
use faas::resource::agent::ExitCause;
use faas::resource::endpoint::{Address, Endpoint};
use faas::resource::hook::{Reach, SandboxHook};
use faas::runtimes::{FramedSocket, framed};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::platform::{self, function};

struct NobodyWaits;

impl SlotOwner for NobodyWaits {
    fn released(&self, _: InstanceId) {}
}

/// The bytes of a request and of its response, counted between an instance and a guest of this
/// process.
pub(crate) async fn request_and_response(directory: &Path) -> (usize, usize) {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let contract = FramedSocket::new("framed".parse().expect("a name"), clock);
    let reach = Reach::Mount {
        host: directory.to_owned(),
        guest: directory.to_owned(),
    };
    let sandbox = SandboxId::from_u128(1);
    let prepared = contract
        .prepare(sandbox, Some(reach))
        .await
        .expect("a listener");
    let between = directory.join("between");
    let counted = UnixListener::bind(&between).expect("a socket");
    tokio::spawn(async move { framed::guest::serve(&between, Arc::new(platform::echo), 1).await });
    let (guest, _) = counted.accept().await.expect("the guest connects");
    let host = UnixStream::connect(&prepared.environment[framed::SOCKET]).await;
    let (from_guest, to_guest) = guest.into_split();
    let (from_host, to_host) = host.expect("the instance listens").into_split();
    let (asked, answered) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    tokio::spawn(count(from_host, to_guest, asked.clone()));
    tokio::spawn(count(from_guest, to_host, answered.clone()));

    let connect = connect(sandbox);
    let instance = contract.connect(connect).await.expect("an instance");
    let greeting = answered.swap(0, Ordering::SeqCst);
    assert!(greeting > 0, "the guest has greeted");
    let permit = Permit::new(Arc::new(NobodyWaits), instance.id());
    let id = InvocationId::from_u128(u128::MAX);
    let call = Invocation::new(id, "echo".parse().expect("a name"), platform::payload());
    instance.invoke(call, permit).await.expect("an answer");
    contract.release(sandbox, &ExitCause::Stopped).await;
    (
        asked.load(Ordering::SeqCst),
        answered.load(Ordering::SeqCst),
    )
}

fn connect(sandbox: SandboxId) -> Connect {
    let handler = HandlerName::new("echo").expect("a name");
    let runtime = "framed".parse().expect("a name");
    let revision = FunctionRevision {
        function: function("echo"),
        number: RevisionNumber(1),
        config: FunctionConfig::new(runtime, Executable::Handler(handler)),
    };
    let endpoint = Endpoint::from(Address::Hook);
    Connect::new(
        sandbox,
        InstanceId::from_u128(1),
        endpoint,
        Arc::new(revision),
    )
}

async fn count(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    counted: Arc<AtomicUsize>,
) {
    let mut buffer = vec![0; 1 << 16];
    // Either side ends with the call.
    while let Ok(length) = from.read(&mut buffer).await
        && length > 0
    {
        counted.fetch_add(length, Ordering::SeqCst);
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
}
