//! Where the cases are, and their format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// Where they are, if they are anywhere.
pub(crate) fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("FAAS_CASES").map(PathBuf::from);
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = given.unwrap_or_else(default).join("asl-cases");
    if folder.is_dir() {
        return Some(folder);
    }
    let place = folder.display();
    println!("asl-cases: SKIPPED: there is no {place}; FAAS_CASES names another place");
    None
}

/// All of them.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    let areas = entries(folder).into_iter().filter(|path| path.is_dir());
    let files = areas.flat_map(|area| entries(&area));
    let mut files: Vec<_> = files
        .filter(|f| f.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    files
}

/// One of them.
pub(crate) fn read(file: &Path) -> Case {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) recorded: String,
    pub(crate) features: Vec<String>,
    #[serde(rename = "type")]
    pub(crate) machine_type: String,
    pub(crate) definition: Value,
    pub(crate) definition_text: Option<String>,
    #[serde(default)]
    pub(crate) functions: Option<Vec<Function>>,
    #[serde(default)]
    pub(crate) executions: Vec<Execution>,
    pub(crate) create_error: Option<Value>,
    pub(crate) validation: Option<Value>,
    pub(crate) variable_references: Option<BTreeMap<String, Vec<String>>>,
    #[serde(default)]
    pub(crate) wildcards: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Function {
    pub(crate) name: Option<String>,
    pub(crate) behaviour: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Execution {
    #[serde(default)]
    pub(crate) input: Value,
    pub(crate) input_text: Option<String>,
    pub(crate) definition: Option<Value>,
    pub(crate) stop: Option<Value>,
    pub(crate) expected: Expected,
    /// Absent where no task ran, or where none was recorded.
    #[serde(default)]
    pub(crate) task_outcomes: Option<Vec<Outcome>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Expected {
    pub(crate) status: Option<String>,
    pub(crate) output: Option<Value>,
    pub(crate) error: Option<Value>,
    pub(crate) cause: Option<Value>,
    pub(crate) history: Option<Vec<Event>>,
    pub(crate) history_events: Option<Vec<Event>>,
    pub(crate) start_error: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Event {
    #[serde(default)]
    pub(crate) id: u64,
    #[serde(default, rename = "previousEventId")]
    pub(crate) previous: u64,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) details: Value,
}

/// What the outside world answered to one attempt of a task.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) scheduled_event_id: u64,
    #[serde(default)]
    pub(crate) request: Value,
    pub(crate) submitted: Option<Value>,
    pub(crate) outcome: Option<Value>,
}

impl Case {
    /// The text that AWS was given.
    pub(crate) fn definition_text(&self) -> String {
        let text = self.definition_text.clone();
        text.unwrap_or_else(|| self.definition.to_string())
    }

    /// Day, month and year of the recording, newest part first.
    pub(crate) fn date(&self) -> [u32; 3] {
        let day = self.recorded.split(',').next().unwrap_or_default();
        let mut parts = day.split('-').rev().map(|part| part.parse().unwrap_or(0));
        [(); 3].map(|()| parts.next().unwrap_or(0))
    }
}
