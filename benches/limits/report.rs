//! What the benchmark says: a line a figure, `limits.json`, and a picture for people.

use std::fmt::Write as _;
use std::io::{IsTerminal, Result, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::Figure;
use crate::measure::{Samples, quantile};

struct Line {
    name: &'static str,
    reach: Option<f64>,
    ratio: f64,
}

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Report {
    figures: Map<String, Value>,
    lines: Vec<Line>,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Report {
    /// Takes up a figure, and prints its line.
    pub(crate) fn add(&mut self, figure: &Figure, samples: &Samples) {
        let (is, limit) = (quantile(&samples.ours, 0.5), quantile(&samples.limit, 0.5));
        let ratio = is.as_secs_f64() / limit.as_secs_f64();
        let shown = |sample: Duration| match samples.counted {
            Some(what) => format!("{} {what}", sample.as_nanos()),
            None => format!("{sample:.2?}"),
        };
        let notes = samples.notes.iter();
        let notes: String = notes
            .map(|(name, note)| format!(" {name}={note:.1}"))
            .collect();
        println!(
            "{} ratio={ratio:.2} p50={} limit_p50={}{notes}",
            figure.name,
            shown(is),
            shown(limit)
        );
        let value = json!({
            "about": figure.about,
            "ratio": ratio,
            "reach": figure.reach,
            "samples": samples.ours.len(),
            "p50_ns": nanos(is),
            "p90_ns": nanos(quantile(&samples.ours, 0.9)),
            "limit_p50_ns": nanos(limit),
            "limit_p90_ns": nanos(quantile(&samples.limit, 0.9)),
            "per_second": 1.0 / is.as_secs_f64(),
        });
        let value = match samples.counted {
            Some(what) => counted(figure, ratio, samples, what),
            None => value,
        };
        self.figures.insert(figure.name.to_owned(), value);
        let (name, reach) = (figure.name, figure.reach);
        self.lines.push(Line { name, reach, ratio });
    }

    /// Writes the files, and draws the bars if a person looks on.
    pub(crate) fn write(&self) -> Result<()> {
        let target = target_directory();
        std::fs::create_dir_all(&target)?;
        let text = serde_json::to_string_pretty(&self.figures)?;
        std::fs::write(target.join("limits.json"), text)?;
        std::fs::write(target.join("limits.svg"), self.picture())?;
        if stdout().is_terminal() {
            print!("\n{}", self.bars());
        }
        Ok(())
    }

    /// A bar a figure, from the limit (1) on, on a logarithmic scale.
    fn bars(&self) -> String {
        self.lines.iter().fold(String::new(), |mut text, line| {
            let bar = "█".repeat(1 + (width(line.ratio) * 40.0) as usize);
            let _ = writeln!(text, "{:22} {bar} {:.2} × its limit", line.name, line.ratio);
            text
        })
    }

    fn picture(&self) -> String {
        const ROW: usize = 28;
        const LEFT: f64 = 190.0;
        const FULL: f64 = 420.0;
        let height = ROW * (self.lines.len() + 1);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <text x=\"8\" y=\"18\">times its physical limit (logarithmic; line: the reach)</text>\n"
        );
        for (row, line) in self.lines.iter().enumerate() {
            let (y, bar) = (ROW * (row + 1), width(line.ratio) * FULL + 2.0);
            let good = line.reach.is_none_or(|reach| line.ratio <= reach);
            let colour = if good { "#4c8c6b" } else { "#c0603f" };
            let _ = writeln!(
                svg,
                "<text x=\"8\" y=\"{}\">{}</text><rect x=\"{LEFT}\" y=\"{}\" width=\"{bar:.1}\" \
                 height=\"16\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{:.2}</text>",
                y + 16,
                line.name,
                y + 4,
                LEFT + bar + 6.0,
                y + 16,
                line.ratio
            );
            if let Some(reach) = line.reach {
                let x = LEFT + width(reach) * FULL + 2.0;
                let _ = writeln!(
                    svg,
                    "<path d=\"M{x:.1} {} v20\" stroke=\"black\" stroke-width=\"1.5\"/>",
                    y + 2
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn counted(figure: &Figure, ratio: f64, samples: &Samples, what: &str) -> Value {
    json!({
        "about": figure.about,
        "ratio": ratio,
        "reach": figure.reach,
        "samples": samples.ours.len(),
        "counted": what,
        "p50": nanos(quantile(&samples.ours, 0.5)),
        "limit_p50": nanos(quantile(&samples.limit, 0.5)),
        "notes": samples.notes.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
    })
}

/// From 0 for a ratio of 1 to 1 for a ratio of 1,000.
fn width(ratio: f64) -> f64 {
    (ratio.max(1.0).log10() / 3.0).min(1.0)
}

/// Where cargo built this program, wherever its user has put that.
pub(crate) fn target_directory() -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    let tagged = |path: &&Path| path.join("CACHEDIR.TAG").exists();
    match this.ancestors().find(tagged) {
        Some(target) => target.to_owned(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
    }
}
