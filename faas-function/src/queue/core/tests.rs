use proptest::prelude::*;

use super::*;

fn waiting(id: u128, lane: &str, concurrency: u32, due: u64) -> Waiting {
    Waiting {
        id: InvocationId::from_u128(id),
        lane: lane.into(),
        concurrency,
        due: Monotonic::from_nanos(due),
    }
}

fn core(capacity: usize, concurrency: usize) -> Core {
    Core::new(Bounds {
        capacity,
        concurrency,
    })
}

fn ids(ids: &[u128]) -> Vec<InvocationId> {
    ids.iter().map(|id| InvocationId::from_u128(*id)).collect()
}

#[test]
fn lanes_take_turns_within_their_concurrency() {
    let mut core = core(100, 100);
    for id in 0..4 {
        core.add(waiting(id, "long", 2, 0), Monotonic::ZERO);
    }
    core.add(waiting(10, "short", 1, 0), Monotonic::ZERO);
    assert_eq!(core.start(Monotonic::ZERO), ids(&[0, 10, 1]));
    core.end(InvocationId::from_u128(1));
    assert_eq!(core.start(Monotonic::ZERO), ids(&[2]));
    assert!(
        !core.add(waiting(2, "long", 2, 0), Monotonic::ZERO),
        "twice"
    );
}

#[test]
fn what_failed_waits_until_it_is_due() {
    let mut core = core(100, 1);
    core.add(waiting(1, "a", 1, 0), Monotonic::ZERO);
    core.add(waiting(2, "b", 1, 0), Monotonic::ZERO);
    assert_eq!(core.start(Monotonic::ZERO), ids(&[1]));
    let later = Monotonic::from_nanos(50);
    core.again(InvocationId::from_u128(1), later, Monotonic::ZERO);
    assert_eq!(core.wake_at(), Some(later));
    assert_eq!(core.start(Monotonic::from_nanos(49)), ids(&[2]));
    core.end(InvocationId::from_u128(2));
    assert_eq!(core.start(later), ids(&[1]));
    assert_eq!(core.wake_at(), None);
}

#[test]
fn room_is_bounded_and_given_back() {
    let mut core = core(2, 1);
    core.keep(1);
    core.reserve().expect("room for one");
    let error = core.reserve().expect_err("it is full");
    assert_eq!(error.kind(), faas_core::ErrorKind::Exhausted);
    assert!(error.retry_after().is_some());
    core.release(1);
    core.reserve().expect("room again");
}

proptest! {
    /// Whatever happens, in whatever order: no bound is broken, and all that was added is run.
    #[test]
    fn all_run_within_the_bounds(
        requests in prop::collection::vec((0..4u8, 1..4u32, 0..50u64), 1..60),
        total in 1..5usize,
        steps in prop::collection::vec((any::<bool>(), 1..30u64), 0..200),
    ) {
        let mut core = core(1000, total);
        let mut now = Monotonic::ZERO;
        let mut limits = HashMap::new();
        for (id, (lane, concurrency, due)) in requests.iter().enumerate() {
            core.add(waiting(id as u128, &lane.to_string(), *concurrency, *due), now);
            // The last settings of a lane count.
            limits.insert(*lane, *concurrency as usize);
        }
        let lane_of = |id: InvocationId| requests[id.as_u128() as usize].0;
        let mut running: Vec<InvocationId> = Vec::new();
        let mut ended = 0;
        let mut steps = steps.into_iter();
        while ended < requests.len() {
            running.extend(core.start(now));
            prop_assert!(running.len() <= total);
            prop_assert_eq!(core.running(), running.len());
            for (lane, limit) in &limits {
                let of_lane = running.iter().filter(|id| lane_of(**id) == *lane).count();
                prop_assert!(of_lane <= *limit, "lane {} runs {} of {}", lane, of_lane, limit);
            }
            match (running.pop(), steps.next()) {
                (Some(id), Some((true, pause))) => {
                    core.again(id, now + Duration::from_nanos(pause), now);
                }
                (Some(id), _) => {
                    core.end(id);
                    ended += 1;
                }
                (None, _) => {
                    let wake = core.wake_at();
                    prop_assert!(wake.is_some_and(|wake| wake > now), "it stands still");
                    now = wake.unwrap_or(now);
                }
            }
        }
        prop_assert!(core.lanes.is_empty() && core.places.is_empty() && core.due.is_empty());
    }
}
