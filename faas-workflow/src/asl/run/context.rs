//! The context object, `$$`: made on demand, for it holds the execution's input.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::frame::{Child, Frame, FrameId, Item};
use super::{Run, frame::Active};
use crate::asl::model::{Kind, StateMachine};
use crate::asl::timestamp;
use crate::program::{Data, TaskToken};

/// What the context object is made of.
pub(super) struct Context<'a> {
    pub(super) machine: &'a StateMachine,
    pub(super) run: &'a Run,
    pub(super) frame: &'a Frame,
    /// The state that the frame is in.
    pub(super) active: &'a Active,
    pub(super) token: Option<&'a TaskToken>,
    /// The element that a Map is at.
    pub(super) item: Option<&'a Item>,
}

impl Run {
    /// A frame, and all that it is within.
    pub(super) fn ancestors<'a>(&'a self, frame: &'a Frame) -> impl Iterator<Item = &'a Frame> {
        let parent = |frame: &&'a Frame| self.frames.get(&frame.link?.parent);
        std::iter::successors(Some(frame), parent)
    }

    /// The value of a variable, as a frame sees it; those outside of a child execution are hidden.
    pub(super) fn variable(&self, frame: &Frame, name: &str) -> Option<Data> {
        let mut hidden = false;
        self.ancestors(frame)
            .take_while(|frame| !std::mem::replace(&mut hidden, frame.child.is_some()))
            .find_map(|frame| frame.variables.get(name).cloned())
    }
}

impl Context<'_> {
    fn item(&self) -> Option<&Item> {
        let within = || self.run.ancestors(self.frame).find_map(|f| f.item.as_ref());
        self.item.or_else(within)
    }

    fn child(&self) -> Option<&Child> {
        let mut frames = self.run.ancestors(self.frame);
        frames.find_map(|frame| frame.child.as_deref())
    }

    fn input(&self) -> &Data {
        self.child().map_or(&self.run.input, |child| &child.input)
    }

    /// The value that the first names of a path lead to, if it is at hand, and how many they are.
    pub(super) fn part<'n>(&self, mut names: impl Iterator<Item = &'n str>) -> (Data, usize) {
        match (names.next(), names.next(), names.next()) {
            (Some("Execution"), Some("Input"), _) => (self.input().clone(), 2),
            (Some("Map"), Some("Item"), Some("Value")) => match self.item() {
                Some(item) => (item.value.clone(), 3),
                None => (Arc::new(self.whole(false)), 0),
            },
            // The input is the only large part.
            (Some("Execution"), None, _) | (None, ..) => (Arc::new(self.whole(true)), 0),
            _ => (Arc::new(self.whole(false)), 0),
        }
    }

    /// All of it; without the execution's input if that is not wanted.
    pub(super) fn whole(&self, with_input: bool) -> Value {
        let mut whole = Map::new();
        whole.insert("Execution".into(), self.execution(with_input));
        let settings = &self.machine.settings;
        let name = self.run.execution.workflow.name.as_str();
        let machine = json!({ "Id": settings.machine_arn(name), "Name": name });
        whole.insert("StateMachine".into(), machine);
        whole.insert("State".into(), self.state());
        if let Some(token) = self.token {
            whole.insert("Task".into(), json!({ "Token": token.to_string() }));
        }
        if let Some(item) = self.item() {
            let item = json!({ "Index": item.index, "Value": &*item.value });
            whole.insert("Map".into(), json!({ "Item": item }));
        }
        Value::Object(whole)
    }

    fn execution(&self, with_input: bool) -> Value {
        let (settings, run) = (&self.machine.settings, self.run);
        let machine = run.execution.workflow.name.as_str();
        let (id, name, started) = match self.child() {
            Some(child) => {
                let machine = format!("{machine}/{}", child.label);
                let id = settings.execution_arn(&machine, &child.name);
                (id, child.name.as_str(), child.started)
            }
            None => {
                let name = run.execution.name.as_str();
                (settings.execution_arn(machine, name), name, run.started)
            }
        };
        let mut execution = json!({
            "Id": id,
            "Name": name,
            "StartTime": timestamp::show(started),
            "RoleArn": settings.role_arn,
            "RedriveCount": run.redrives,
        });
        if with_input && let Some(fields) = execution.as_object_mut() {
            fields.insert("Input".into(), Value::clone(self.input()));
        }
        execution
    }

    fn state(&self) -> Value {
        let state = self.machine.state(self.active.state);
        let entered = timestamp::show(self.active.entered);
        let mut fields = json!({ "Name": &*state.name, "EnteredTime": entered });
        if matches!(
            state.kind,
            Kind::Task(_) | Kind::Parallel { .. } | Kind::Map(_)
        ) && let Some(fields) = fields.as_object_mut()
        {
            fields.insert("RetryCount".into(), self.active.retry_count.into());
        }
        fields
    }
}

/// The frame that is the execution itself.
pub(super) const TOP: FrameId = FrameId(1);
