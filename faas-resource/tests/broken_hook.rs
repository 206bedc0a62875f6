//! The suite of `SandboxHook` catches a hook that breaks any one rule: each of these breaks one,
//! and the case of that name fails against it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use faas_core::{Error, Result, SandboxId};
use faas_resource::SandboxHook;
use faas_resource::agent::ExitCause;
use faas_resource::hook::conformance::{CASES, Fixture};
use faas_resource::hook::{Cookie, Prepared, Reach, ReachKind};

/// What a [`Doors`] hook does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    PreparesAnew,
    TakesAnyReach,
    RefusesAsInvalid,
    RefusalLeaves,
    Shares,
    ReleasesAll,
    LeavesDoors,
    MissesUnknown,
    PreparesOnce,
    CancelLeaks,
    ResumesNothing,
    ResumesAnother,
    RefusalOpens,
}

/// The doors that are open, by their numbers, each of a sandbox: they outlive no hook.
#[derive(Debug, Default)]
struct Street {
    open: BTreeMap<u64, SandboxId>,
    last: u64,
}

impl Street {
    fn open(&mut self, sandbox: SandboxId) -> u64 {
        self.last += 1;
        self.open.insert(self.last, sandbox);
        self.last
    }
}

struct Doors {
    fault: Fault,
    street: Arc<Mutex<Street>>,
    known: Mutex<BTreeMap<SandboxId, u64>>,
    ever: Mutex<Vec<SandboxId>>,
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.street.lock().expect("no panic").open.clear();
    }
}

impl Doors {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn open(&self, sandbox: SandboxId) -> u64 {
        self.street.lock().expect("no panic").open(sandbox)
    }

    fn check(&self, sandbox: SandboxId, reach: Option<Reach>) -> Result<()> {
        if matches!(reach, Some(Reach::Loopback)) || self.is(Fault::TakesAnyReach) {
            return Ok(());
        }
        if self.is(Fault::RefusalLeaves) {
            self.open(sandbox);
        }
        Err(match self.is(Fault::RefusesAsInvalid) {
            true => Error::invalid("prepare", "a door needs loopback"),
            false => Error::unsupported("prepare", "a door needs loopback"),
        })
    }
}

fn prepared(door: u64) -> Prepared {
    let mut prepared = Prepared::default();
    prepared.environment = [("DOOR".to_owned(), door.to_string())].into();
    prepared.cookie = Cookie(door.to_string().into());
    prepared
}

#[async_trait]
impl SandboxHook for Doors {
    fn needs(&self) -> Vec<ReachKind> {
        vec![ReachKind::Loopback]
    }
    async fn prepare(&self, sandbox: SandboxId, reach: Option<Reach>) -> Result<Prepared> {
        self.check(sandbox, reach)?;
        if self.is(Fault::PreparesOnce) {
            let mut ever = self.ever.lock().expect("no panic");
            if ever.contains(&sandbox) {
                return Err(Error::unavailable("prepare", "once is enough"));
            }
            ever.push(sandbox);
        }
        if self.is(Fault::CancelLeaks) {
            let door = self.open(sandbox);
            tokio::task::yield_now().await;
            self.known.lock().expect("no panic").insert(sandbox, door);
            return Ok(prepared(door));
        }
        let mut known = self.known.lock().expect("no panic");
        let shared = known.values().next().copied();
        let door = match known.get(&sandbox) {
            Some(door) if !self.is(Fault::PreparesAnew) => *door,
            _ => match shared.filter(|_| self.is(Fault::Shares)) {
                Some(door) => door,
                None => self.open(sandbox),
            },
        };
        known.insert(sandbox, door);
        Ok(prepared(door))
    }
    async fn resume(&self, sandbox: SandboxId, _: Option<Reach>, cookie: &Cookie) -> Result<()> {
        let text = String::from_utf8_lossy(&cookie.0);
        let mut door: u64 = text.parse().expect("a number");
        if self.is(Fault::ResumesNothing) {
            return Ok(());
        }
        if self.is(Fault::ResumesAnother) {
            door += 100;
        }
        let mut street = self.street.lock().expect("no panic");
        street.open.insert(door, sandbox);
        if self.is(Fault::RefusalOpens) {
            return Err(Error::unsupported("resume", "no door opens twice"));
        }
        self.known.lock().expect("no panic").insert(sandbox, door);
        Ok(())
    }
    async fn release(&self, sandbox: SandboxId, _: &ExitCause) {
        let door = self.known.lock().expect("no panic").remove(&sandbox);
        assert!(door.is_some() || !self.is(Fault::MissesUnknown), "unknown");
        let mut street = self.street.lock().expect("no panic");
        if self.is(Fault::ReleasesAll) {
            street.open.clear();
        }
        if let Some(door) = door.filter(|_| !self.is(Fault::LeavesDoors)) {
            street.open.remove(&door);
        }
    }
}

fn hook(fault: Fault, street: &Arc<Mutex<Street>>) -> Arc<dyn SandboxHook> {
    Arc::new(Doors {
        fault,
        street: street.clone(),
        known: Mutex::default(),
        ever: Mutex::default(),
    })
}

fn fixture(fault: Fault) -> Fixture {
    let street = Arc::new(Mutex::new(Street::default()));
    let next = street.clone();
    let mut fixture = Fixture::new(
        hook(fault, &street),
        Box::new(move |ended, _| {
            drop(ended);
            let next = hook(fault, &next);
            Box::pin(async { next })
        }),
    );
    fixture.reach = Box::new(|_, kind| (kind == ReachKind::Loopback).then_some(Reach::Loopback));
    let doors = street.clone();
    fixture.reachable = Box::new(move |prepared| {
        let door: u64 = prepared.environment["DOOR"].parse().expect("a number");
        let open = doors.lock().expect("no panic").open.contains_key(&door);
        Box::pin(async move { open })
    });
    fixture.left = Box::new(move |sandbox, _| {
        let street = street.lock().expect("no panic");
        let mut open = street.open.values();
        open.any(|of| *of == sandbox).then(|| "a door".to_owned())
    });
    fixture
}

/// Whether the case of that name passes; a hang is none.
async fn passes(name: &str, fault: Fault) -> bool {
    let case = CASES.iter().find(|(case, _)| *case == name);
    let (_, case) = case.expect("a case of that name");
    tokio::spawn(case(fixture(fault))).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn the_unbroken_passes() {
    for (name, _) in CASES {
        assert!(passes(name, Fault::None).await, "{name}");
    }
}

macro_rules! caught {
    ($($test:ident: $fault:ident by $case:ident;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $test() {
            assert!(!passes(stringify!($case), Fault::$fault).await, "not caught");
        }
    )*};
}
caught! {
    prepares_anew: PreparesAnew by prepare_once;
    takes_any_reach: TakesAnyReach by refuses_reach;
    refuses_as_invalid: RefusesAsInvalid by refuses_reach;
    a_refusal_leaves_something: RefusalLeaves by refuses_reach;
    shares: Shares by sandboxes_are_apart;
    releases_all: ReleasesAll by sandboxes_are_apart;
    leaves_doors: LeavesDoors by release_frees;
    misses_unknown: MissesUnknown by release_frees;
    prepares_once_for_ever: PreparesOnce by release_frees;
    a_cancelled_one_leaks: CancelLeaks by cancel_safe;
    resumes_nothing: ResumesNothing by resume_or_refuse;
    resumes_another: ResumesAnother by resume_or_refuse;
    a_refusal_opens: RefusalOpens by resume_or_refuse;
}
