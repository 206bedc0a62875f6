//! The language of Mermaid's flowcharts (<https://mermaid.js.org/syntax/flowchart.html>).

use std::fmt::Write;

use super::Diagram;
use super::state::Outcome;
use crate::program::StepKind;

/// A quoted text: what has a meaning in Mermaid or in HTML is written as its number.
fn quoted(lines: &[String]) -> String {
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            text.push_str("<br/>");
        }
        for character in line.chars() {
            match character {
                '"' | '<' | '>' | '&' | '#' | ';' | '`' | '\\' => {
                    text.push_str(&format!("#{};", u32::from(character)));
                }
                '\n' => text.push(' '),
                other => text.push(other),
            }
        }
    }
    format!("\"{text}\"")
}

const fn brackets(kind: StepKind) -> (&'static str, &'static str) {
    match kind {
        StepKind::Choice => ("{", "}"),
        StepKind::Wait => ("{{", "}}"),
        StepKind::Map => ("[[", "]]"),
        StepKind::Succeed | StepKind::Fail => ("([", "])"),
        _ => ("(", ")"),
    }
}

pub(super) fn render(diagram: &Diagram) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(diagram, &mut out);
    out
}

fn write(diagram: &Diagram, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "---\ntitle: {}\n---",
        quoted(std::slice::from_ref(&diagram.title))
    )?;
    writeln!(out, "flowchart TD")?;
    writeln!(out, "  start((\" \"))\n  stop(((\" \")))")?;
    for place in diagram.parts(None) {
        step(diagram, place, 1, out)?;
    }
    for place in diagram.first() {
        writeln!(out, "  start{} n{place}", arrow(&diagram.edge("", place)))?;
    }
    for edge in &diagram.outline.edges {
        let label = diagram.edge(&edge.label, edge.to);
        writeln!(out, "  n{}{} n{}", edge.from, arrow(&label), edge.to)?;
    }
    for place in diagram.last() {
        writeln!(out, "  n{place} --> stop")?;
    }
    colours(diagram, out)
}

fn arrow(label: &str) -> String {
    match label.is_empty() {
        true => " -->".into(),
        false => format!(" -- {} -->", quoted(&[label.to_owned()])),
    }
}

fn step(diagram: &Diagram, place: usize, depth: usize, out: &mut String) -> std::fmt::Result {
    let indent = "  ".repeat(depth);
    let label = quoted(&diagram.lines(place));
    if diagram.is_whole(place) {
        writeln!(out, "{indent}subgraph n{place} [{label}]")?;
        for part in diagram.parts(Some(place)) {
            step(diagram, part, depth + 1, out)?;
        }
        return writeln!(out, "{indent}end");
    }
    let (open, close) = brackets(diagram.outline.steps[place].kind);
    writeln!(out, "{indent}n{place}{open}{label}{close}")
}

fn colours(diagram: &Diagram, out: &mut String) -> std::fmt::Result {
    let Some(states) = &diagram.states else {
        return Ok(());
    };
    for outcome in Outcome::ALL {
        let steps = diagram.outline.steps.iter().enumerate();
        let steps = steps.filter(|(_, step)| states.outcome(&step.label) == Some(outcome));
        let steps: Vec<_> = steps.map(|(place, _)| format!("n{place}")).collect();
        if steps.is_empty() {
            continue;
        }
        let (name, colour) = (outcome.label(), outcome.colour());
        writeln!(
            out,
            "  classDef {name} fill:{colour},stroke:#333,color:#000"
        )?;
        writeln!(out, "  class {} {name}", steps.join(","))?;
    }
    Ok(())
}
