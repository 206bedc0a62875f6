//! Amazon States Language in the live engine: definitions as their authors write them, functions
//! that are called, workers that pull, tokens, children, objects, time, and restarts.

mod integrations;
mod restarts;

use std::sync::Arc;

use faas_workflow::Definition;
use faas_workflow::asl::definition;
use serde_json::{Value, json};

use crate::fixtures::Place;

/// A definition of these states, the first of which is `Start`.
pub(crate) fn states(states: &Value) -> Definition {
    definition(json!({ "StartAt": "Start", "States": states }).to_string())
}

/// A place where this is the workflow `machine`.
pub(crate) async fn place(definition: &Value) -> Place {
    let place = Place::default();
    place.register("machine", states(definition)).await;
    place
}

pub(crate) fn lambda(name: &str) -> String {
    format!("arn:aws:lambda:us-east-1:123456789012:function:{name}")
}

pub(crate) fn echo() -> Arc<crate::abilities::Echo> {
    crate::abilities::echo()
}
