//! Broken contracts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use faas_core::{
    Clock, Error, HandlerName, HookName, Name, Namespace, Result, RevisionNumber, RuntimeName,
    SandboxId, TokioClock,
};
use faas_function::contract::conformance::{CASES, Fixture};
use faas_function::contract::{Connect, Contract, SandboxEnvironment};
use faas_function::instance::FunctionInstance;
use faas_function::instance::conformance::{Setup, Subject};
use faas_function::registry::{FunctionConfig, FunctionId, FunctionRevision};
use faas_resource::agent::ExitCause;
use faas_resource::endpoint::{Address, Endpoint};
use faas_resource::hook::{Cookie, Prepared, Reach, ReachKind};
use faas_resource::spec::ExecutableKind;
use faas_resource::{Executable, SandboxHook};
use tokio::sync::watch;

use crate::model::{Fault as Unbroken, Instance, Model};

/// What a [`Doors`] contract does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    ConnectsEarly,
    NeverConnects,
    WaitsForEver,
    TakesForeign,
    ConnectsOnce,
    CancelLeaves,
    HidesItsHook,
    NeedsNoHook,
    ChangesItsMind,
    NamesTwice,
    ReservesNothing,
}

/// A contract that the sandbox calls: it knocks at a door that the hook made.
#[derive(Clone)]
struct Doors {
    fault: Fault,
    /// Whether somebody has knocked.
    doors: Arc<Mutex<BTreeMap<SandboxId, watch::Sender<bool>>>>,
    /// Connections that were not finished.
    left: Arc<Mutex<BTreeSet<SandboxId>>>,
    asked: Arc<AtomicU64>,
    subject: Subject,
}

impl Doors {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    async fn knock(&self, sandbox: SandboxId) -> Result<()> {
        let gone = || Error::unavailable("connect", format!("{sandbox} is gone"));
        let door = self.doors.lock().expect("no panic").get(&sandbox).cloned();
        let door = match door {
            Some(door) => door.subscribe(),
            None if self.is(Fault::NeedsNoHook) => return Ok(()),
            None => return Err(gone()),
        };
        let mut door = door;
        loop {
            if *door.borrow_and_update() && !self.is(Fault::NeverConnects) {
                return Ok(());
            }
            let open = self.doors.lock().expect("no panic").contains_key(&sandbox);
            if !open && !self.is(Fault::WaitsForEver) {
                return Err(gone());
            }
            if door.changed().await.is_err() && self.is(Fault::WaitsForEver) {
                futures::future::pending::<()>().await;
            }
        }
    }
}

/// A connection that is being made; dropped, it is closed.
struct Begun(Arc<Mutex<BTreeSet<SandboxId>>>, SandboxId);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.lock().expect("no panic").remove(&self.1);
    }
}

#[async_trait]
impl Contract for Doors {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        let name = HookName::new("doors").expect("a name");
        let hook: Arc<dyn SandboxHook> = Arc::new(self.clone());
        (!self.is(Fault::HidesItsHook)).then_some((name, hook))
    }
    fn executables(&self) -> Vec<ExecutableKind> {
        vec![ExecutableKind::Handler]
    }
    fn environment(&self, _: &FunctionRevision) -> SandboxEnvironment {
        let mut environment = SandboxEnvironment::default();
        environment.fixed = [("COLOUR".to_owned(), "red".to_owned())].into();
        if self.is(Fault::ChangesItsMind) {
            let asked = self.asked.fetch_add(1, Ordering::SeqCst);
            environment.fixed = [("COLOUR".to_owned(), asked.to_string())].into();
        }
        if self.is(Fault::NamesTwice) {
            environment.defaults = environment.fixed.clone();
        }
        if !self.is(Fault::ReservesNothing) {
            environment.reserved = ["DOOR".to_owned()].into();
        }
        environment
    }
    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
        let hook = matches!(connect.endpoint, Endpoint::Address(Address::Hook));
        if !hook && !self.is(Fault::TakesForeign) {
            return Err(Error::unsupported("connect", "it is no door"));
        }
        let sandbox = connect.sandbox;
        let mine = Begun(self.left.clone(), sandbox);
        let first = self.left.lock().expect("no panic").insert(sandbox);
        if self.is(Fault::ConnectsOnce) && !first {
            futures::future::pending::<()>().await;
        }
        if self.is(Fault::ConnectsOnce) || self.is(Fault::CancelLeaves) {
            std::mem::forget(mine);
        }
        if hook && !self.is(Fault::ConnectsEarly) {
            self.knock(sandbox).await?;
        }
        Ok(Arc::new(Instance(Arc::new(Model {
            id: connect.instance,
            subject: self.subject.clone(),
            setup: Setup::default(),
            clock: Arc::new(TokioClock::for_paused_time()) as Arc<dyn Clock>,
            fault: Unbroken::None,
            state: Arc::default(),
        }))))
    }
}

#[async_trait]
impl SandboxHook for Doors {
    fn needs(&self) -> Vec<ReachKind> {
        Vec::new()
    }
    async fn prepare(&self, sandbox: SandboxId, _: Option<Reach>) -> Result<Prepared> {
        let mut doors = self.doors.lock().expect("no panic");
        doors
            .entry(sandbox)
            .or_insert_with(|| watch::Sender::new(false));
        let mut prepared = Prepared::default();
        prepared.environment = [("DOOR".to_owned(), sandbox.to_string())].into();
        Ok(prepared)
    }
    async fn resume(&self, _: SandboxId, _: Option<Reach>, _: &Cookie) -> Result<()> {
        Err(Error::unsupported("resume", "doors close"))
    }
    async fn release(&self, sandbox: SandboxId, _: &ExitCause) {
        let door = self.doors.lock().expect("no panic").remove(&sandbox);
        if let Some(door) = door {
            door.send_replace(false);
        }
    }
}

fn revision() -> Arc<FunctionRevision> {
    let handler = HandlerName::new("subject").expect("a name");
    let runtime = RuntimeName::new("doors").expect("a name");
    Arc::new(FunctionRevision {
        function: FunctionId {
            namespace: Namespace::default_namespace(),
            name: Name::new("subject").expect("a name"),
        },
        number: RevisionNumber(1),
        config: FunctionConfig::new(runtime, Executable::Handler(handler)),
    })
}

fn fixture(fault: Fault) -> Fixture {
    let contract = Doors {
        fault,
        doors: Arc::default(),
        left: Arc::default(),
        asked: Arc::default(),
        subject: Subject::default(),
    };
    let (doors, left) = (contract.doors.clone(), contract.left.clone());
    let mut fixture = Fixture::new(
        Arc::new(contract),
        revision(),
        Box::new(|_| Address::Hook.into()),
        Box::new(move |sandbox, _| {
            if let Some(door) = doors.lock().expect("no panic").get(&sandbox) {
                door.send_replace(true);
            }
            Box::pin(async { Box::new(()) as _ })
        }),
    );
    let name = HandlerName::new("handler").expect("a name");
    fixture.foreign = Some(Address::Handler(name).into());
    fixture.left = Box::new(move |sandbox| {
        let left = left.lock().expect("no panic").contains(&sandbox);
        left.then(|| "a connection".to_owned())
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
    connects_early: ConnectsEarly by connects_when_ready;
    never_connects: NeverConnects by connects_when_ready;
    waits_for_ever: WaitsForEver by ends_with_the_sandbox;
    takes_foreign: TakesForeign by refuses_foreign;
    connects_once: ConnectsOnce by cancel_safe;
    cancel_leaves: CancelLeaves by cancel_safe;
    hides_its_hook: HidesItsHook by hook_matches;
    needs_no_hook: NeedsNoHook by hook_matches;
    changes_its_mind: ChangesItsMind by environment_is_pure;
    names_twice: NamesTwice by environment_is_pure;
    reserves_nothing: ReservesNothing by environment_is_pure;
}
