//! Pictures of workflows and executions.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::builder::{Expression as E, RustBuilder, WorkflowBuilder};
use crate::program::{
    Beginning, Command, DefinitionDigest, Erased, OutlineStep, ProgramEvent, StepChange, StepPhase,
    TypedProgram,
};
use crate::registry::{Definition, Language, WorkflowInfo, WorkflowVersion};

fn compiled(definition: Definition, program: Arc<dyn Program>) -> CompiledWorkflow {
    let info = WorkflowInfo {
        namespace: "shop".parse().unwrap(),
        name: "sell".parse().unwrap(),
        version: WorkflowVersion(3),
        digest: definition.digest(),
        language: definition.language.clone(),
        settings: Default::default(),
        created: Timestamp::UNIX_EPOCH,
    };
    CompiledWorkflow::new(info, definition, program)
}

fn graph() -> CompiledWorkflow {
    let definition = WorkflowBuilder::new()
        .task("check", "shop/check", |task| task)
        .task("pack", "shop/pack", |task| {
            task.map(E::result("check", "/items"), 2)
        })
        .signal("paid", "paid", |task| task)
        .output(E::result("pack", ""))
        .build()
        .unwrap();
    let program = RustBuilder::default().compile(&definition).unwrap();
    compiled(definition, program)
}

fn record(id: u64, second: i64, kind: &str, details: Value) -> HistoryRecord {
    HistoryRecord::new(id, Timestamp::from_second(second).unwrap(), kind, details)
}

fn history() -> Vec<HistoryRecord> {
    vec![
        record(1, 100, "ExecutionStarted", json!({})),
        record(2, 100, "TaskScheduled", json!({"task": "check"})),
        record(3, 102, "TaskFailed", json!({"task": "check"})),
        record(4, 102, "TaskRetried", json!({"task": "check"})),
        record(5, 103, "TaskScheduled", json!({"task": "check"})),
        record(6, 105, "TaskSucceeded", json!({"task": "check"})),
        record(7, 105, "TaskScheduled", json!({"task": "pack", "item": 0})),
        record(8, 107, "TaskFailed", json!({"task": "pack", "item": 0})),
    ]
}

#[test]
fn a_definition_in_the_language_of_graphviz() {
    assert_eq!(
        graph().to_dot().unwrap(),
        r#"digraph {
  graph [label="shop/sell@3", compound=true];
  node [style="rounded,filled", fillcolor=white, fontname="sans-serif"];
  edge [fontname="sans-serif", fontsize=10];
  start [shape=point]; end [shape=doublecircle, label="", width=0.15];
  n0 [label="check\nshop/check", shape=box];
  n1 [label="pack\neach: shop/pack", shape=box3d];
  n2 [label="paid\nwait", shape=hexagon];
  start -> n0 [label=""];
  start -> n2 [label=""];
  n0 -> n1 [label=""];
  n1 -> end;
  n2 -> end;
}
"#
    );
}

#[test]
fn an_execution_is_coloured_and_timed() {
    let diagram = Diagram::of_history(&graph(), &history()).unwrap();
    let dot = diagram.to_dot();
    for expected in [
        r##"n0 [label="check\nshop/check\nsucceeded in 5.0s (2 times)", shape=box, fillcolor="#b2df8a"]"##,
        r##"n1 [label="pack\neach: shop/pack\nfailed in 2.0s", shape=box3d, fillcolor="#fb9a99"]"##,
        r#"n2 [label="paid\nwait", shape=hexagon]"#,
        r#"n0 -> n1 [label="+5.0s"]"#,
    ] {
        assert!(dot.contains(expected), "{expected}\n{dot}");
    }
    assert_eq!(
        diagram.to_mermaid(),
        r##"---
title: "shop/sell@3"
---
flowchart TD
  start((" "))
  stop(((" ")))
  n0("check<br/>shop/check<br/>succeeded in 5.0s (2 times)")
  n1[["pack<br/>each: shop/pack<br/>failed in 2.0s"]]
  n2{{"paid<br/>wait"}}
  start -- "+0.0ns" --> n0
  start --> n2
  n0 -- "+5.0s" --> n1
  n1 --> stop
  n2 --> stop
  classDef succeeded fill:#b2df8a,stroke:#333,color:#000
  class n0 succeeded
  classDef failed fill:#fb9a99,stroke:#333,color:#000
  class n1 failed
"##
    );
}

/// A program of any outline.
#[derive(Debug)]
struct Drawn(Outline);

impl ProgramDiagram for Drawn {
    fn outline(&self) -> Outline {
        self.0.clone()
    }
    fn change(&self, record: &HistoryRecord) -> Option<StepChange> {
        let (label, at) = (record.kind.clone(), record.at);
        let phase = StepPhase::Entered;
        Some(StepChange { label, phase, at })
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Nothing;

impl faas_core::encoding::Stored for Nothing {
    const KIND: &'static str = "nothing";
    const VERSION: u32 = 1;
}

type Parts = (Nothing, Vec<Command>, Vec<HistoryRecord>);

impl TypedProgram for Drawn {
    type State = Nothing;
    fn digest(&self) -> DefinitionDigest {
        DefinitionDigest::of(b"drawn")
    }
    fn begin(&self, _: Beginning) -> Parts {
        (Nothing, vec![], vec![])
    }
    fn step(&self, state: Nothing, _: ProgramEvent) -> Parts {
        (state, vec![], vec![])
    }
    fn diagram(&self) -> Option<&dyn ProgramDiagram> {
        Some(self)
    }
}

fn drawn_workflow(outline: Outline) -> CompiledWorkflow {
    let definition = Definition::new("drawn".parse().unwrap(), "");
    compiled(definition, Arc::new(Erased(Drawn(outline))))
}

#[test]
fn parts_lie_within_their_wholes() {
    let mut outline = Outline::default();
    let before = outline.add(OutlineStep::new("before", StepKind::Compute));
    let whole = outline.add(OutlineStep::new("both", StepKind::Parallel));
    for label in ["left", "right"] {
        let mut part = OutlineStep::new(label, StepKind::Task);
        part.parent = Some(whole);
        outline.add(part);
    }
    outline.connect(before, whole, "always");
    let workflow = drawn_workflow(outline);
    let dot = workflow.to_dot().unwrap();
    for expected in [
        "  subgraph cluster_1 {\n    label=\"both\\nparallel\";\n    n2 [",
        r#"n0 -> n2 [label="always", lhead=cluster_1];"#,
        "n2 -> end [ltail=cluster_1];",
    ] {
        assert!(dot.contains(expected), "{expected}\n{dot}");
    }
    let mermaid = workflow.to_mermaid().unwrap();
    let expected =
        "  subgraph n1 [\"both<br/>parallel\"]\n    n2(\"left\")\n    n3(\"right\")\n  end\n";
    assert!(mermaid.contains(expected), "{mermaid}");
    assert!(mermaid.contains("n0 -- \"always\" --> n1"), "{mermaid}");
}

#[test]
fn names_cannot_break_out_of_the_picture() {
    let evil = "\"]; } <script>\\\n-->#quot;";
    let mut outline = Outline::default();
    let step = outline.add(OutlineStep::new(evil, StepKind::Choice));
    outline.connect(step, step, evil);
    let workflow = drawn_workflow(outline);
    let dot = workflow.to_dot().unwrap();
    assert!(
        dot.contains(r#"n0 [label="\"]; } <script>\\ -->#quot;", shape=diamond];"#),
        "{dot}"
    );
    let mermaid = workflow.to_mermaid().unwrap();
    assert!(
        !mermaid.contains("<script>") && !mermaid.contains("\"]"),
        "{mermaid}"
    );
    assert_eq!(mermaid.matches('"').count() % 2, 0);
}
