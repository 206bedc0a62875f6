//! A warm invocation of a closure, from `Platform::invoke` until the whole response is dropped.
//!
//! Its limit is a oneshot round trip between two tasks of the same multi-thread runtime: the asking
//! task sends the payload through one channel, together with the sender of another, through which
//! the other task sends it back. Tokio runs a task that has just been woken next on the thread that
//! woke it (its LIFO slot), so the limit pays for two wake-ups and no crossing of threads: there is
//! no cheaper way to have another task do something.

use std::hint::black_box;

use faas::core::Payload;
use tokio::sync::oneshot;

use crate::Figure;
use crate::measure::{Bench, Samples, now};
use crate::platform::{in_process, payload, requests};

pub(crate) const FIGURE: Figure = Figure {
    name: "warm_in_process",
    about: "warm call of a closure, against a oneshot round trip between two tasks",
    reach: Some(2.0),
    rounds: 4_000,
    run,
};

/// Calls in a sample: enough to make the reading of the clock small.
const CALLS: u32 = 16;

struct Question {
    payload: Payload,
    answer: oneshot::Sender<Payload>,
    next: oneshot::Receiver<Question>,
}

/// A task that answers, and how to ask it.
struct Answerer(Option<oneshot::Sender<Question>>);

impl Answerer {
    fn start() -> Self {
        let (first, mut asked) = oneshot::channel::<Question>();
        tokio::spawn(async move {
            while let Ok(question) = asked.await {
                asked = question.next;
                // The asker waits for it; if not, the benchmark is over.
                let _ = question.answer.send(question.payload);
            }
        });
        Self(Some(first))
    }

    async fn ask(&mut self, payload: Payload) -> Payload {
        let (answer, answered) = oneshot::channel();
        let (after, next) = oneshot::channel();
        let question = Question {
            payload,
            answer,
            next,
        };
        let sender = self.0.replace(after).expect("there is always one");
        assert!(sender.send(question).is_ok(), "the task listens");
        answered.await.expect("the task answers")
    }
}

fn run(bench: &Bench) -> Samples {
    let rounds = bench.rounds();
    bench.run(async move {
        let platform = in_process().await;
        let mut answerer = Answerer::start();
        let mut samples = Samples::default();
        for _ in rounds {
            let start = now();
            for _ in 0..CALLS {
                black_box(answerer.ask(payload()).await);
            }
            samples.limit.push(start.elapsed() / CALLS);

            let requests = requests(&platform, CALLS as usize);
            let start = now();
            for request in requests {
                black_box(platform.invoke(request).await.expect("an answer"));
            }
            samples.ours.push(start.elapsed() / CALLS);
        }
        samples
    })
}
