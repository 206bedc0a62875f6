//! Broken instances.

use std::sync::Arc;

use faas_core::{Clock, InstanceId, TokioClock};
use faas_function::instance::conformance::{CASES, Factory, Fixture, Setup, Subject};

use crate::model::{Fault, Instance, Model};

fn fixture(setup: Setup, fault: Fault) -> Fixture {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::for_paused_time());
    let subject = Subject::default();
    let model = Arc::new(Model {
        id: InstanceId::from_u128(1),
        subject: subject.clone(),
        setup,
        clock: clock.clone(),
        fault,
        state: Arc::default(),
    });
    let state = model.state.clone();
    let mut fixture = Fixture::new(Arc::new(Instance(model)), subject, clock);
    fixture.end = Some(Box::new(move |cause| {
        state.ended.send_replace(Some(cause));
        Box::pin(async {})
    }));
    fixture
}

/// Whether the case of that name passes; a hang is none.
async fn passes(name: &str, fault: Fault) -> bool {
    let case = CASES.iter().find(|(case, _)| *case == name);
    let (_, case) = case.expect("a case of that name");
    let factory: Factory = Arc::new(move |setup| {
        let fixture = fixture(setup, fault);
        Box::pin(async { fixture })
    });
    tokio::spawn(case(factory)).await.is_ok()
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
    fails_as_error: FailsAsError by function_failure_is_ok;
    frees_early: FreesEarly by permit_until_idle;
    keeps_its_slot: KeepsItsSlot by permit_until_idle;
    sticks_after_a_timeout: SticksAfterTimeout by permit_until_idle;
    one_at_a_time: OneAtATime by concurrent;
    mixes_up: MixesUp by concurrent;
    runs_on: RunsOn by cancel_by_drop;
    dead_is_safe: DeadIsSafe by dead_is_classified;
    dead_is_a_failure: DeadIsFailure by dead_is_classified;
    late_is_ambiguous: LateIsAmbiguous by dead_is_classified;
    exit_is_lost: ExitIsLost by exit_is_a_failure;
    exit_has_no_cause: ExitHasNoCause by exit_is_a_failure;
    fails_early: FailsEarly by failed_resolves;
    never_fails: NeverFails by failed_resolves;
    drains_at_once: DrainsAtOnce by drain_waits;
    drains_for_ever: DrainsForEver by drain_waits;
    takes_while_draining: TakesWhileDraining by drain_waits;
    no_limit: NoLimit by response_bounded;
    no_limit_of_streams: NoStreamLimit by response_bounded;
    no_timeout: NoTimeout by response_bounded;
    the_deadline_is_a_timeout: DeadlineIsTimeout by deadline_is_the_callers;
    collects: Collects by streams_as_it_comes;
    no_trailer: NoTrailer by streams_as_it_comes;
}
