//! The language of Graphviz (<https://graphviz.org/doc/info/lang.html>).

use std::fmt::Write;

use super::Diagram;
use crate::program::StepKind;

/// A quoted string: what stands within can end neither it nor the line.
fn quoted(lines: &[String]) -> String {
    let escape = |line: &String| {
        line.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', " ")
    };
    let lines: Vec<_> = lines.iter().map(escape).collect();
    format!("\"{}\"", lines.join("\\n"))
}

const fn shape(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Choice => "diamond",
        StepKind::Wait => "hexagon",
        StepKind::Map => "box3d",
        StepKind::Succeed | StepKind::Fail => "oval",
        _ => "box",
    }
}

pub(super) fn render(diagram: &Diagram) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(diagram, &mut out);
    out
}

fn write(diagram: &Diagram, out: &mut String) -> std::fmt::Result {
    writeln!(out, "digraph {{")?;
    writeln!(
        out,
        "  graph [label={}, compound=true];",
        quoted(std::slice::from_ref(&diagram.title))
    )?;
    writeln!(
        out,
        "  node [style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\"];"
    )?;
    writeln!(out, "  edge [fontname=\"sans-serif\", fontsize=10];")?;
    writeln!(
        out,
        "  start [shape=point]; end [shape=doublecircle, label=\"\", width=0.15];"
    )?;
    for place in diagram.parts(None) {
        step(diagram, place, 1, out)?;
    }
    for place in diagram.first() {
        edge(diagram, "start", place, "", out)?;
    }
    for found in &diagram.outline.edges {
        let from = leaf(diagram, found.from);
        let tail = match from == found.from {
            true => String::new(),
            false => format!(", ltail=cluster_{}", found.from),
        };
        let label = diagram.edge(&found.label, found.to);
        arrow(&format!("n{from}"), diagram, found.to, &label, &tail, out)?;
    }
    for place in diagram.last() {
        let from = leaf(diagram, place);
        let tail = match from == place {
            true => String::new(),
            false => format!(" [ltail=cluster_{place}]"),
        };
        writeln!(out, "  n{from} -> end{tail};")?;
    }
    writeln!(out, "}}")
}

fn step(diagram: &Diagram, place: usize, depth: usize, out: &mut String) -> std::fmt::Result {
    let indent = "  ".repeat(depth);
    let label = quoted(&diagram.lines(place));
    let found = &diagram.outline.steps[place];
    let states = diagram.states.as_ref();
    let outcome = states.and_then(|states| states.outcome(&found.label));
    if diagram.is_whole(place) {
        writeln!(out, "{indent}subgraph cluster_{place} {{")?;
        writeln!(out, "{indent}  label={label};")?;
        if let Some(outcome) = outcome {
            writeln!(out, "{indent}  color=\"{}\"; penwidth=3;", outcome.colour())?;
        }
        for part in diagram.parts(Some(place)) {
            step(diagram, part, depth + 1, out)?;
        }
        return writeln!(out, "{indent}}}");
    }
    let fill = outcome.map(|outcome| format!(", fillcolor=\"{}\"", outcome.colour()));
    let (shape, fill) = (shape(found.kind), fill.unwrap_or_default());
    writeln!(
        out,
        "{indent}n{place} [label={label}, shape={shape}{fill}];"
    )
}

/// An edge ends at a node: at a whole's first part, cut off at the whole's border.
fn leaf(diagram: &Diagram, mut place: usize) -> usize {
    while let Some(part) = diagram.parts(Some(place)).next() {
        place = part;
    }
    place
}

fn edge(
    diagram: &Diagram,
    from: &str,
    to: usize,
    label: &str,
    out: &mut String,
) -> std::fmt::Result {
    let label = diagram.edge(label, to);
    arrow(from, diagram, to, &label, "", out)
}

fn arrow(
    from: &str,
    diagram: &Diagram,
    to: usize,
    label: &str,
    tail: &str,
    out: &mut String,
) -> std::fmt::Result {
    let node = leaf(diagram, to);
    let head = match node == to {
        true => String::new(),
        false => format!(", lhead=cluster_{to}"),
    };
    let label = quoted(&[label.to_owned()]);
    writeln!(out, "  {from} -> n{node} [label={label}{tail}{head}];")
}
