//! The suite of `CodeSource` catches one that breaks any one rule: each of these breaks one, and the
//! case of that name fails against it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{Digest, Error, Result};
use faas_resource::CodeSource;
use faas_resource::code::conformance::{CASES, Fixture};
use tokio::sync::Mutex;

/// What a [`Broken`] source does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    AnswersOthers,
    BelievesItself,
    InventsBytes,
    GivesOnce,
    NeverRecovers,
}

/// Code in memory.
struct Broken {
    codes: Mutex<BTreeMap<Digest, Bytes>>,
    fault: Fault,
    /// Fetches that have begun and not ended.
    begun: AtomicU32,
}

#[async_trait]
impl CodeSource for Broken {
    async fn fetch(&self, digest: &Digest) -> Result<Bytes> {
        if self.fault == Fault::NeverRecovers {
            // A fetch that was dropped is waited for by those after it.
            while self.begun.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            self.begun.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.begun.fetch_sub(1, Ordering::SeqCst);
        }
        tokio::task::yield_now().await;
        let mut codes = self.codes.lock().await;
        let found = match self.fault {
            Fault::AnswersOthers => codes.values().next().cloned(),
            Fault::GivesOnce => codes.remove(digest),
            _ => codes.get(digest).cloned(),
        };
        match found {
            None if self.fault == Fault::InventsBytes => Ok(Bytes::new()),
            None => Err(Error::not_found("fetch code", digest.to_string())),
            Some(bytes)
                if self.fault != Fault::BelievesItself
                    && self.fault != Fault::AnswersOthers
                    && Digest::of(&bytes) != *digest =>
            {
                Err(Error::internal(
                    "fetch code",
                    format!("{digest} is damaged"),
                ))
            }
            Some(bytes) => Ok(bytes),
        }
    }
}

fn fixture(fault: Fault) -> Fixture {
    let known: Vec<_> = ["one", "another", ""].map(Bytes::from).into();
    let damaged = Digest::of(b"as it was");
    let mut codes: BTreeMap<_, _> = known
        .iter()
        .map(|code| (Digest::of(code), code.clone()))
        .collect();
    codes.insert(damaged, Bytes::from("as it is"));
    let source = Broken {
        codes: Mutex::new(codes),
        fault,
        begun: AtomicU32::new(0),
    };
    let mut fixture = Fixture::new(Arc::new(source), known);
    fixture.damaged = Some(damaged);
    fixture
}

async fn sound() -> Fixture {
    fixture(Fault::None)
}

mod sound {
    faas_resource::code_source_conformance!(super::sound);
}

/// Whether the case of that name passes; a hang is none.
async fn passes(name: &str, fault: Fault) -> bool {
    let found = CASES.iter().find(|(case, _)| *case == name);
    let (_, case) = found.expect("a case of that name");
    tokio::spawn(case(fixture(fault))).await.is_ok()
}

faas_core::suite_catches! {
    CASES, passes, Fault;
    right_bytes: AnswersOthers BelievesItself;
    unknown_is_not_found: InventsBytes;
    fetch_again: GivesOnce;
    fetch_cancels: NeverRecovers;
}
