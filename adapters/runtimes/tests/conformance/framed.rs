//! Frames over a Unix socket, with the guest of this crate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas_core::{HandlerName, HookName};
use faas_function::instance::conformance::{Fixture, Setup, Subject};
use faas_resource::SandboxHook;
use faas_resource::endpoint::Address;
use faas_resource::hook::ReachKind;
use faas_runtimes::{FramedSocket, framed};
use tokio::net::UnixStream;

use crate::common::{SANDBOX, clock, hooked, mount, revision, task};

fn framed() -> FramedSocket {
    let contract = FramedSocket::new(HookName::new("framed").expect("a name"), clock());
    contract.grace(Duration::from_millis(500))
}

async fn serve(socket: PathBuf, subject: Subject, slots: u32) {
    // The socket may be gone before the guest: that is how a sandbox ends.
    let served = framed::guest::serve(&socket, Arc::new(subject), slots).await;
    drop(served);
}

async fn instance(setup: Setup) -> Fixture {
    let (contract, subject) = (framed(), Subject::default());
    let root = tempfile::tempdir().expect("a directory");
    let (guest, slots) = (subject.clone(), setup.concurrency);
    let (instance, end) = hooked(&contract, &setup, mount(&root, SANDBOX), |prepared| {
        let socket = PathBuf::from(&prepared.environment[framed::SOCKET]);
        serve(socket, guest, slots)
    })
    .await;
    let mut fixture = Fixture::new(instance, subject, clock());
    fixture.end = Some(end);
    fixture.keep = Box::new((contract, root));
    fixture
}

mod instances {
    faas_function::function_instance_conformance!(super::instance);
}

fn left(root: &Path, sandbox: faas_core::SandboxId) -> Option<String> {
    let socket = root.join(sandbox.to_string()).join("faas.sock");
    socket.exists().then(|| socket.display().to_string())
}

async fn contract(subject: Subject) -> faas_function::contract::conformance::Fixture {
    let root = Arc::new(tempfile::tempdir().expect("a directory"));
    let mut fixture = faas_function::contract::conformance::Fixture::new(
        Arc::new(framed()),
        revision(&Setup::default()),
        Box::new(|_| Address::Hook.into()),
        Box::new(move |_, environment| {
            let socket = PathBuf::from(&environment[framed::SOCKET]);
            let guest = task(serve(socket, subject.clone(), 1));
            Box::pin(async { guest })
        }),
    );
    let name = HandlerName::new("handler").expect("a name");
    fixture.foreign = Some(Address::Handler(name).into());
    let directory = root.clone();
    fixture.reach = Box::new(move |sandbox, kind| {
        (kind == ReachKind::Mount).then(|| mount(&directory, sandbox))
    });
    fixture.left = Box::new(move |sandbox| left(root.path(), sandbox));
    fixture
}

mod contracts {
    faas_function::contract_conformance!(super::contract);
}

async fn hook() -> faas_resource::hook::conformance::Fixture {
    let root = Arc::new(tempfile::tempdir().expect("a directory"));
    let mut fixture = faas_resource::hook::conformance::Fixture::new(
        Arc::new(framed()),
        Box::new(|ended, _| {
            drop(ended);
            Box::pin(async { Arc::new(framed()) as Arc<dyn SandboxHook> })
        }),
    );
    let directory = root.clone();
    fixture.reach = Box::new(move |sandbox, kind| {
        (kind == ReachKind::Mount).then(|| mount(&directory, sandbox))
    });
    fixture.reachable = Box::new(|prepared| {
        let socket = prepared.environment[framed::SOCKET].clone();
        Box::pin(async move { UnixStream::connect(socket).await.is_ok() })
    });
    fixture.left = Box::new(move |sandbox, _| left(root.path(), sandbox));
    fixture
}

mod hooks {
    faas_resource::sandbox_hook_conformance!(super::hook);
}
