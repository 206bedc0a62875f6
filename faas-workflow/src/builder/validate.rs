//! All faults of a graph at once.

use std::collections::{BTreeMap, BTreeSet};

use super::{CatchRule, Expression, Fallback, GraphDefinition, Limits, TaskDefinition, TaskRun};
use crate::registry::Fault;

/// What an expression at some place may use.
#[derive(Clone, Copy, Default)]
struct Allowed {
    item: bool,
    error: bool,
    token: bool,
}

struct Checker<'a> {
    names: BTreeSet<&'a str>,
    limits: Limits,
    faults: Vec<Fault>,
}

/// Every fault of `graph`.
pub(super) fn faults(graph: &GraphDefinition, limits: Limits) -> Vec<Fault> {
    let mut checker = Checker {
        names: graph.tasks.iter().map(|task| task.name.as_str()).collect(),
        limits,
        faults: Vec::new(),
    };
    if graph.tasks.len() > limits.tasks {
        checker.fault("/tasks", format!("has more than {} tasks", limits.tasks));
        return checker.faults;
    }
    let mut seen = BTreeMap::new();
    for (index, task) in graph.tasks.iter().enumerate() {
        let path = format!("/tasks/{index}");
        if let Some(first) = seen.insert(&task.name, index) {
            let message = format!("{} is the name of /tasks/{first} too", task.name);
            checker.fault(format!("{path}/name"), message);
        }
        checker.task(task, &path);
    }
    checker.expression(&graph.output, "/output", Allowed::default(), 0);
    if checker.faults.is_empty() {
        checker.cycle(graph);
    }
    checker.faults
}

impl Checker<'_> {
    fn fault(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault::new(path, message));
    }

    fn task(&mut self, task: &TaskDefinition, path: &str) {
        let allowed = Allowed {
            item: task.map.is_some(),
            error: false,
            token: matches!(task.run, TaskRun::Callback(_)),
        };
        let waits = matches!(task.run, TaskRun::Signal(_) | TaskRun::Sleep(_));
        if waits && task.map.is_some() {
            self.fault(
                format!("{path}/map"),
                "nothing is called that could be mapped",
            );
        }
        self.expression(&task.input, &format!("{path}/input"), allowed, 0);
        if let Some(map) = &task.map {
            self.expression(
                &map.items,
                &format!("{path}/map/items"),
                Allowed::default(),
                0,
            );
        }
        for (index, name) in task.after.iter().enumerate() {
            self.known(name.as_str(), format!("{path}/after/{index}"));
        }
        for (index, rule) in task.retry.iter().enumerate() {
            let path = format!("{path}/retry/{index}");
            if rule.errors.is_empty() || rule.errors.iter().any(super::ErrorPattern::is_empty) {
                self.fault(format!("{path}/errors"), "names no error; \"*\" means all");
            }
            if !rule.backoff.is_finite() || rule.backoff < 1.0 {
                self.fault(format!("{path}/backoff"), "is not a number from 1 on");
            }
        }
        for (index, rule) in task.catch.iter().enumerate() {
            self.catch(rule, &format!("{path}/catch/{index}"), allowed);
        }
        if task.timeout.is_some_and(|timeout| timeout.is_zero()) {
            self.fault(
                format!("{path}/timeout"),
                "is zero: nothing could ever succeed",
            );
        }
    }

    fn catch(&mut self, rule: &CatchRule, path: &str, allowed: Allowed) {
        if rule.errors.is_empty() || rule.errors.iter().any(super::ErrorPattern::is_empty) {
            self.fault(format!("{path}/errors"), "names no error; \"*\" means all");
        }
        let allowed = Allowed {
            error: true,
            token: false,
            ..allowed
        };
        match &rule.then {
            Fallback::Value(value) => {
                self.expression(value, &format!("{path}/then/value"), allowed, 0);
            }
            Fallback::Call { input, .. } => {
                self.expression(input, &format!("{path}/then/call/input"), allowed, 0);
            }
        }
    }

    fn known(&mut self, name: &str, path: String) {
        if !self.names.contains(name) {
            self.fault(path, format!("there is no task {name:?}"));
        }
    }

    fn pointer(&mut self, pointer: &str, path: &str) {
        let escapes = pointer.split('~').skip(1);
        let good = escapes.into_iter().all(|rest| rest.starts_with(['0', '1']));
        if !(pointer.is_empty() || pointer.starts_with('/')) || !good {
            let message = format!(
                "{pointer:?} is no JSON pointer: it is \"\" or begins with \"/\", and \"~\" is written \"~0\""
            );
            self.fault(path, message);
        }
    }

    fn expression(&mut self, expression: &Expression, path: &str, allowed: Allowed, depth: usize) {
        if depth > self.limits.depth {
            let message = format!("nests deeper than {} levels", self.limits.depth);
            return self.fault(path, message);
        }
        match expression {
            Expression::Result { task, pointer } => {
                self.known(task, format!("{path}/result/task"));
                self.pointer(pointer, path);
            }
            Expression::Item(_) | Expression::Index if !allowed.item => {
                self.fault(path, "uses the item, but is not called within a map");
            }
            Expression::Token if !allowed.token => {
                self.fault(path, "uses the token, but the task is not called back");
            }
            Expression::Error(_) if !allowed.error => {
                self.fault(path, "uses the error, but does not stand in a catch");
            }
            Expression::Input(at) | Expression::Item(at) | Expression::Error(at) => {
                self.pointer(at, path);
            }
            _ => {}
        }
        for (index, child) in expression.children().enumerate() {
            self.expression(child, &format!("{path}/{index}"), allowed, depth + 1);
        }
    }

    /// Takes away what depends on nothing that is left; what stays is in a cycle or behind one.
    fn cycle(&mut self, graph: &GraphDefinition) {
        let dependencies = dependencies(graph);
        let mut left: BTreeSet<usize> = (0..graph.tasks.len()).collect();
        loop {
            let free = |i: &usize| dependencies[*i].iter().all(|d| !left.contains(d));
            let done: Vec<usize> = left.iter().copied().filter(free).collect();
            if done.is_empty() {
                break;
            }
            done.iter().for_each(|i| {
                left.remove(i);
            });
        }
        for index in left {
            let name = &graph.tasks[index].name;
            let message = format!("{name} waits for itself, by way of its dependencies");
            self.fault(format!("/tasks/{index}"), message);
        }
    }
}

/// Which tasks each task depends on, by index; names must be known.
pub(super) fn dependencies(graph: &GraphDefinition) -> Vec<BTreeSet<usize>> {
    let tasks = graph.tasks.iter().enumerate();
    let names: BTreeMap<&str, usize> = tasks.map(|(i, task)| (task.name.as_str(), i)).collect();
    let of = |task: &TaskDefinition| {
        let mut found: BTreeSet<usize> = BTreeSet::new();
        let after = task
            .after
            .iter()
            .filter_map(|name| names.get(name.as_str()));
        found.extend(after);
        let fallbacks = task.catch.iter().map(|rule| match &rule.then {
            Fallback::Value(value) => value,
            Fallback::Call { input, .. } => input,
        });
        let items = task.map.iter().map(|map| &map.items);
        let mut open: Vec<_> = fallbacks.chain(items).chain([&task.input]).collect();
        while let Some(expression) = open.pop() {
            if let Expression::Result { task, .. } = expression {
                found.extend(names.get(task.as_str()));
            }
            open.extend(expression.children());
        }
        found
    };
    graph.tasks.iter().map(of).collect()
}
