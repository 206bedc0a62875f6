//! Sixty-four committers on one SQLite store: how many commits share a sync.
//!
//! Its limit is the number of commits: a sync for each of them.

use faas::core::store::Store;

use crate::Figure;
use crate::durable_commit::{batch, directory, store};
use crate::measure::{Bench, Samples, count};

pub(crate) const FIGURE: Figure = Figure {
    name: "durable_commit_64",
    about: "syncs for the commits of 64 committers, against one for each (20 share one: 0.05)",
    reach: Some(0.05),
    rounds: 200,
    run,
};

const COMMITTERS: u64 = 64;

fn run(bench: &Bench) -> Samples {
    let rounds: Vec<_> = bench.rounds().map(|round| round as u64).collect();
    bench.run(async move {
        let directory = directory();
        let store = store(&directory).await;
        let before = store.statistics();
        let committers = (0..COMMITTERS).map(|committer| {
            let (store, rounds) = (store.clone(), rounds.clone());
            tokio::spawn(async move {
                for n in rounds {
                    store.commit(batch(committer, n)).await.expect("committed");
                }
            })
        });
        for committer in committers.collect::<Vec<_>>() {
            committer.await.expect("no panic");
        }
        let after = store.statistics();
        let commits = after.commits - before.commits;
        let syncs = after.transactions - before.transactions;
        let mut samples = Samples::counted("syncs");
        samples.ours.push(count(syncs));
        samples.limit.push(count(commits));
        let per_sync = commits as f64 / syncs as f64;
        samples.notes.push(("commits_per_sync", per_sync));
        samples
    })
}
