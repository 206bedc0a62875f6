//! [`Watch`]: notices a handler that keeps the thread of whoever called it, at no cost to speak of.
//!
//! A handler that is polled on its caller's task and never yields blocks a thread, and with it all
//! that could notice: its caller, and its timer. So each thread has a [`Seat`], where it writes,
//! with two plain stores, whose handler it polls and until when that is in order. One task for all
//! instances of the contract looks at the seats: every grace while calls come, not at all otherwise.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use faas_core::{Clock, Monotonic};
use tokio::runtime::Handle;

use crate::lifecycle::Lifecycle;

/// What one thread polls.
#[derive(Debug, Default)]
struct Seat {
    /// Nanoseconds of the contract's clock; zero if it polls nothing.
    late_at: AtomicU64,
    /// The number of the instance.
    number: AtomicU64,
    /// How many calls are polled within each other.
    depth: AtomicU32,
}

/// All seats of this process; those of threads that have ended are dropped as they are come across.
static SEATS: Mutex<Vec<Weak<Seat>>> = Mutex::new(Vec::new());
/// Numbers of instances, so that the seats of several contracts can be told apart.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static SEAT: Arc<Seat> = {
        let seat = Arc::<Seat>::default();
        let mut seats = lock(&SEATS);
        seats.retain(|other| other.strong_count() > 0);
        seats.push(Arc::downgrade(&seat));
        seat
    };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No panic can leave what is behind these locks half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many calls this thread polls within each other now.
pub(super) fn depth() -> u32 {
    let depth = SEAT.try_with(|seat| seat.depth.load(Ordering::Relaxed));
    // Without a seat (the thread is ending) nothing may be polled here.
    depth.unwrap_or(u32::MAX)
}

impl Seat {
    /// Writes what is polled now. The zero in between keeps a reader from taking the number of one
    /// call and the time of another.
    fn write(&self, number: u64, late_at: u64) {
        self.late_at.store(0, Ordering::Relaxed);
        self.number.store(number, Ordering::Release);
        self.late_at.store(late_at, Ordering::Release);
    }

    fn read(&self) -> Option<(u64, Monotonic)> {
        let late_at = self.late_at.load(Ordering::Acquire);
        let number = self.number.load(Ordering::Acquire);
        let same = self.late_at.load(Ordering::Relaxed) == late_at;
        (late_at != 0 && same).then_some((number, Monotonic::from_nanos(late_at)))
    }
}

/// Restores what the thread polled before, a panic of the handler included.
struct Polling<'a> {
    seat: &'a Seat,
    before: (u64, u64),
}

impl<'a> Polling<'a> {
    fn begin(seat: &'a Seat, number: u64, late_at: Monotonic) -> Self {
        let late = seat.late_at.load(Ordering::Relaxed);
        let before = (seat.number.load(Ordering::Relaxed), late);
        let depth = seat.depth.load(Ordering::Relaxed);
        seat.depth.store(depth + 1, Ordering::Relaxed);
        seat.write(number, late_at.as_nanos().max(1));
        Self { seat, before }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        let depth = self.seat.depth.load(Ordering::Relaxed);
        self.seat.depth.store(depth - 1, Ordering::Relaxed);
        self.seat.write(self.before.0, self.before.1);
    }
}

/// No task looks at the seats.
const ASLEEP: u8 = 0;
/// A task looks, and will again.
const AWAKE: u8 = 1;
/// It saw nothing: if that is so the next time as well, it ends.
const DROWSY: u8 = 2;

/// Looks after the threads that poll the handlers of one contract.
#[derive(Debug)]
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    every: Duration,
    instances: Mutex<HashMap<u64, Weak<Lifecycle>>>,
    state: AtomicU8,
}

/// An instance that is looked after until this is dropped.
#[derive(Debug)]
pub(super) struct Watched {
    watch: Arc<Watch>,
    platform: Handle,
    number: u64,
}

impl Drop for Watched {
    fn drop(&mut self) {
        lock(&self.watch.instances).remove(&self.number);
    }
}

impl Watch {
    pub(super) fn new(clock: Arc<dyn Clock>, every: Duration) -> Arc<Self> {
        Arc::new(Self {
            clock,
            every,
            instances: Mutex::default(),
            state: AtomicU8::new(ASLEEP),
        })
    }

    /// Looks after an instance, with a task of the runtime `platform`.
    pub(super) fn over(self: &Arc<Self>, lifecycle: &Arc<Lifecycle>, platform: Handle) -> Watched {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        lock(&self.instances).insert(number, Arc::downgrade(lifecycle));
        Watched {
            watch: self.clone(),
            platform,
            number,
        }
    }

    /// Whether any of ours is being polled; those that are late have failed from now on.
    fn look(&self) -> bool {
        let now = self.clock.now();
        let mut seats = lock(&SEATS);
        seats.retain(|seat| seat.strong_count() > 0);
        let polled: Vec<_> = seats
            .iter()
            .filter_map(|seat| seat.upgrade()?.read())
            .collect();
        drop(seats);
        let instances = lock(&self.instances).clone();
        let mut any = false;
        for (number, late_at) in polled {
            let Some(lifecycle) = instances.get(&number).and_then(Weak::upgrade) else {
                continue;
            };
            any = true;
            if late_at <= now {
                lifecycle.fail("a handler does not yield and cannot be stopped");
            }
        }
        any
    }

    /// From one state to the other, if it is in the first.
    fn step(&self, from: u8, to: u8) -> bool {
        let (done, failed) = (Ordering::AcqRel, Ordering::Acquire);
        self.state.compare_exchange(from, to, done, failed).is_ok()
    }
}

/// The task's hold on its watch: whatever ends the task, the next call wakes another one.
struct Awake(Option<Arc<Watch>>);

impl Drop for Awake {
    fn drop(&mut self) {
        if let Some(watch) = &self.0 {
            watch.state.store(ASLEEP, Ordering::Release);
        }
    }
}

async fn look_again_and_again(mut awake: Awake) {
    while let Some(watch) = &awake.0 {
        watch
            .clock
            .sleep_until(watch.clock.now() + watch.every)
            .await;
        // A call that begins now and sees it awake still is seen at the second look.
        if !watch.look() && !watch.step(AWAKE, DROWSY) && watch.step(DROWSY, ASLEEP) {
            awake.0 = None;
        }
    }
}

impl Watched {
    /// Polls, and is noticed if that is not over by `late_at`.
    pub(super) fn during<T>(&self, late_at: Monotonic, poll: impl FnOnce() -> T) -> T {
        SEAT.with(|seat| {
            let _polling = Polling::begin(seat, self.number, late_at);
            poll()
        })
    }

    /// Whether a handler that is polled here now would be noticed. If not, it is so from now on,
    /// but not for who asks: the task that was just spawned is the next of this very thread, where
    /// it waits for whoever blocks the thread.
    pub(super) fn is_awake(&self) -> bool {
        self.watch.state.load(Ordering::Relaxed) == AWAKE || self.wake()
    }

    #[cold]
    fn wake(&self) -> bool {
        // What it was tells whether there is a task.
        let was_awake = self.watch.state.swap(AWAKE, Ordering::AcqRel) != ASLEEP;
        if !was_awake {
            let awake = Awake(Some(self.watch.clone()));
            self.platform.spawn(look_again_and_again(awake));
        }
        was_awake
    }
}
