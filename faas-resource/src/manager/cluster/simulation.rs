//! The core, driven by random inputs against nodes that are a table: whatever happens, it converges,
//! and on the way it never over-commits, starts nothing twice, does one thing at a time with each
//! sandbox, and leaves nothing behind.

mod check;
mod world;

use proptest::prelude::*;
use proptest::sample::Index;

use self::world::{Outcome, World};

/// Something that happens. Indices choose among what is there, if anything is.
#[derive(Debug, Clone)]
enum Input {
    Apply {
        workload: u8,
        min: u32,
        max: u32,
        cores: u64,
        variant: u8,
        priority: i32,
    },
    Scale {
        workload: u8,
        counts: [u32; 3],
    },
    Retire(Index),
    Remove(u8),
    Assign(Index, u8),
    /// A sandbox ends by itself; whether that is reported, or seen only in the next list.
    Exit(Index, bool),
    Finish(Index, Outcome),
    /// A list is taken, and delivered later.
    List(u8),
    Deliver(Index),
    Silence(u8),
    Return(u8),
    Pass(u64),
    Restart(u64),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Done),
        1 => Just(Outcome::Failed),
        1 => Just(Outcome::DoneAndExits),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let counts = (0..4u32, 0..3u32, 0..3u32).prop_map(|(r, p, c)| [r, p, c]);
    let apply = (0..3u8, 0..3u32, 1..6u32, 1..4u64, 0..2u8, 0..2i32).prop_map(
        |(workload, min, more, cores, variant, priority)| Input::Apply {
            workload,
            min,
            max: min + more,
            cores,
            variant,
            priority,
        },
    );
    prop_oneof![
        2 => apply,
        6 => (0..3u8, counts).prop_map(|(workload, counts)| Input::Scale { workload, counts }),
        1 => any::<Index>().prop_map(Input::Retire),
        1 => (0..3u8).prop_map(Input::Remove),
        2 => (any::<Index>(), 0..3u8).prop_map(|(sandbox, to)| Input::Assign(sandbox, to)),
        3 => (any::<Index>(), any::<bool>()).prop_map(|(which, told)| Input::Exit(which, told)),
        12 => (any::<Index>(), outcome()).prop_map(|(which, how)| Input::Finish(which, how)),
        2 => (0..3u8).prop_map(Input::List),
        2 => any::<Index>().prop_map(Input::Deliver),
        1 => (0..3u8).prop_map(Input::Silence),
        2 => (0..3u8).prop_map(Input::Return),
        2 => (1..2_000u64).prop_map(Input::Pass),
        1 => any::<u64>().prop_map(Input::Restart),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_it_converges(inputs in prop::collection::vec(input(), 1..100)) {
        let mut world = World::new();
        for input in inputs {
            world.take(input);
            world.check();
        }
        world.settle();
        world.check();
        world.check_converged();
    }
}
