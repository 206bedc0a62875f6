//! Figures of the platform, each as a ratio to a physical limit that is measured in the same run.
//!
//! ```sh
//! cargo bench --bench limits                     # all figures
//! cargo bench --bench limits -- warm             # those whose names contain `warm`
//! cargo bench --bench limits -- --help
//! ```
//!
//! A figure and its limit are measured in turn, in the same processes, on the same processors. Each
//! figure's file says what its limit is and how it is made. Prints a line a figure, draws bars where
//! a person looks on, and writes `limits.json` and `limits.svg` into cargo's target directory.

mod boot;
mod child;
mod cold_process;
mod cold_process_durable;
mod durable_commit;
mod durable_commit_64;
mod measure;
mod platform;
mod processors;
mod report;
mod restart;
mod throughput_in_process;
mod warm_in_process;
mod warm_unix_socket;
mod wire;
mod workflow;

use std::process::ExitCode;

use clap::Parser;

use measure::{Bench, Samples};
use report::Report;

/// One figure of the benchmark.
struct Figure {
    name: &'static str,
    /// What is measured, and against what.
    about: &'static str,
    /// The ratio that it is meant to reach; without one it is only reported.
    reach: Option<f64>,
    /// How many pairs of samples are taken unless the command line says otherwise.
    rounds: usize,
    run: fn(&Bench) -> Samples,
}

const FIGURES: [Figure; 15] = [
    warm_in_process::FIGURE,
    warm_unix_socket::FIGURE,
    cold_process::FIGURE,
    throughput_in_process::FIGURE,
    boot::FIGURE,
    cold_process_durable::FIGURE,
    durable_commit::FIGURE,
    durable_commit_64::FIGURE,
    restart::FIGURE,
    workflow::memory::FIGURE,
    workflow::durable::FIGURE,
    workflow::pipelined::FIGURE,
    workflow::concurrent::FIGURE,
    workflow::history::FIGURE,
    workflow::million::FIGURE,
];

/// Figures of the platform, each as a ratio to a physical limit measured in the same run.
#[derive(Debug, Parser)]
#[command(name = "limits", after_help = figures())]
struct Arguments {
    /// Only figures whose names contain one of these.
    figures: Vec<String>,
    /// Pairs of samples for each figure, in place of its own number.
    #[arg(long)]
    rounds: Option<usize>,
    /// Which processors to run on.
    #[arg(long, value_enum, default_value_t)]
    processors: processors::Plan,
    /// What cargo says to every benchmark; it changes nothing.
    #[arg(long, hide = true)]
    bench: bool,
}

fn figures() -> String {
    let lines = FIGURES.iter().map(|figure| {
        let reach = figure
            .reach
            .map_or("report".to_owned(), |reach| format!("reach ≤ {reach}"));
        format!("  {:22} {} ({reach})\n", figure.name, figure.about)
    });
    format!("Figures:\n{}", lines.collect::<String>())
}

impl Arguments {
    fn wants(&self, figure: &Figure) -> bool {
        let named = |part: &String| figure.name.contains(part.as_str());
        self.figures.is_empty() || self.figures.iter().any(named)
    }
}

fn main() -> ExitCode {
    if let Some(role) = child::Role::of_this_process() {
        return role.play();
    }
    let arguments = Arguments::parse();
    let wanted: Vec<_> = FIGURES.iter().filter(|f| arguments.wants(f)).collect();
    if wanted.is_empty() {
        eprintln!("no figure has such a name\n\n{}", figures());
        return ExitCode::FAILURE;
    }
    arguments.processors.pin_process();
    let mut report = Report::default();
    for figure in wanted {
        let rounds = arguments.rounds.unwrap_or(figure.rounds).max(1);
        let bench = Bench::new(figure.name, rounds, arguments.processors);
        let samples = (figure.run)(&bench);
        bench.finish();
        report.add(figure, &samples);
    }
    match report.write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
