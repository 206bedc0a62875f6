//! The parts of a node.

use super::{Group, Kind, Node, Stage};

/// Calls `visit` for each part of `node`, in the order of the text.
pub(super) fn children_mut(node: &mut Node, visit: &mut dyn FnMut(&mut Node)) {
    parts_mut(node, visit);
    if let Some(extras) = &mut node.extras {
        extras.predicates.iter_mut().for_each(&mut *visit);
        for stage in &mut extras.stages {
            if let Stage::Filter(filter) = stage {
                visit(filter);
            }
        }
        if let Some(group) = &mut extras.group {
            pairs_mut(group, visit);
        }
    }
}

/// The parts of the kind alone, without predicates, stages and groups.
pub(super) fn parts_mut(node: &mut Node, visit: &mut dyn FnMut(&mut Node)) {
    match &mut node.kind {
        Kind::Null
        | Kind::Bool(_)
        | Kind::Number(_)
        | Kind::Text(_)
        | Kind::Regex(_)
        | Kind::Name(_)
        | Kind::Wildcard
        | Kind::Descendants
        | Kind::Parent { .. }
        | Kind::Context
        | Kind::Variable(_) => {}
        Kind::Path(path) => path.steps.iter_mut().for_each(visit),
        Kind::Negate(operand) => visit(operand),
        Kind::Array(items) => items.iter_mut().for_each(visit),
        Kind::Object(group) => pairs_mut(group, visit),
        Kind::Binary(_, pair) | Kind::Elvis(pair) | Kind::Coalesce(pair) | Kind::Apply(pair) => {
            visit(&mut pair.0);
            visit(&mut pair.1);
        }
        Kind::Condition(condition) => {
            visit(&mut condition.condition);
            visit(&mut condition.then);
            condition.otherwise.iter_mut().for_each(visit);
        }
        Kind::Block(block) => block.parts.iter_mut().for_each(visit),
        Kind::Bind(bind) => visit(&mut bind.1),
        Kind::Call(call) => {
            visit(&mut call.procedure);
            call.arguments.iter_mut().for_each(visit);
        }
        Kind::Partial(partial) => {
            visit(&mut partial.procedure);
            partial.arguments.iter_mut().flatten().for_each(visit);
        }
        Kind::Lambda(lambda) => visit(&mut lambda.body),
        Kind::Sort(terms) => terms.iter_mut().for_each(|term| visit(&mut term.key)),
        Kind::Transform(transform) => {
            visit(&mut transform.pattern);
            visit(&mut transform.update);
            transform.delete.iter_mut().for_each(visit);
        }
    }
}

fn pairs_mut(group: &mut Group, visit: &mut dyn FnMut(&mut Node)) {
    for (key, value) in &mut group.pairs {
        visit(key);
        visit(value);
    }
}
