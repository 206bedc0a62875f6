//! The suite of `Dial` catches one that breaks any one rule: each of these breaks one, and the case of
//! that name fails against it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use faas_core::{Error, Result};
use faas_resource::endpoint::conformance::{CASES, Fixture};
use faas_resource::endpoint::{Connection, Dial};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

/// What a [`Broken`] dialler does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Garbles,
    KeepsOpen,
    LeavesHalfOpen,
    DialsTheDead,
}

/// Dials a task that answers with whatever it is told.
#[derive(Debug)]
struct Broken {
    fault: Fault,
    open: Arc<AtomicUsize>,
    dead: watch::Sender<bool>,
    kept: std::sync::Mutex<Vec<DuplexStream>>,
    waits: AtomicBool,
}

/// Counts a connection while it lives.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn echo(
    mut far: DuplexStream,
    mut dead: watch::Receiver<bool>,
    garbles: bool,
    _count: Counted,
) {
    let mut buffer = [0; 64];
    loop {
        let read = tokio::select! {
            read = far.read(&mut buffer) => read,
            _ = dead.wait_for(|dead| *dead) => return,
        };
        let Ok(read @ 1..) = read else { return };
        if garbles {
            buffer[..read].reverse();
        }
        if far.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

impl Broken {
    fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64);
        self.open.fetch_add(1, Ordering::SeqCst);
        let count = Counted(self.open.clone());
        let garbles = self.fault == Fault::Garbles;
        tokio::spawn(echo(far, self.dead.subscribe(), garbles, count));
        near
    }
}

#[async_trait]
impl Dial for Broken {
    async fn dial(&self) -> Result<Box<dyn Connection>> {
        if self.fault == Fault::LeavesHalfOpen && !self.waits.swap(true, Ordering::SeqCst) {
            // Given to whoever comes next, if ever.
            let half = self.connect();
            self.kept.lock().expect("no panic").push(half);
        }
        tokio::task::yield_now().await;
        if *self.dead.borrow() && self.fault != Fault::DialsTheDead {
            return Err(Error::unavailable("dial", "the sandbox is gone"));
        }
        let half = self.kept.lock().expect("no panic").pop();
        self.waits.store(false, Ordering::SeqCst);
        let near = half.unwrap_or_else(|| self.connect());
        if self.fault == Fault::KeepsOpen {
            let held = self.connect();
            self.kept.lock().expect("no panic").push(held);
        }
        Ok(Box::new(near))
    }
}

fn fixture(fault: Fault) -> Fixture {
    let open = Arc::new(AtomicUsize::new(0));
    let dial = Arc::new(Broken {
        fault,
        open: open.clone(),
        dead: watch::Sender::new(false),
        kept: std::sync::Mutex::default(),
        waits: AtomicBool::new(false),
    });
    let far = dial.clone();
    Fixture::new(
        dial,
        Box::new(move || {
            let count = open.load(Ordering::SeqCst);
            Box::pin(async move { count })
        }),
        Box::new(move || {
            far.dead.send_replace(true);
            Box::pin(async {})
        }),
    )
}

async fn sound() -> Fixture {
    fixture(Fault::None)
}

mod sound {
    faas_resource::dial_conformance!(super::sound);
}

/// Whether the case of that name passes; a hang is none.
async fn passes(name: &str, fault: Fault) -> bool {
    let found = CASES.iter().find(|(case, _)| *case == name);
    let (_, case) = found.expect("a case of that name");
    tokio::spawn(case(fixture(fault))).await.is_ok()
}

faas_core::suite_catches! {
    CASES, passes, Fault;
    fresh_connection: Garbles;
    drop_closes: KeepsOpen;
    dial_cancels: LeavesHalfOpen;
    dead_is_unavailable: DialsTheDead;
}
