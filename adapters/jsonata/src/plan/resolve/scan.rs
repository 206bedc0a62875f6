//! What an expression binds, makes and names, before its variables are resolved.

use crate::stack::with_stack;

use super::super::{Kind, Node, visit};
use super::bindings::first_binding;

/// Adds a name, once.
pub(super) fn add(names: &mut Vec<Box<str>>, name: &str) {
    if names.iter().all(|known| **known != *name) {
        names.push(name.into());
    }
}

/// The names that `node` binds in the scope around it.
pub(super) fn declared(node: &mut Node, names: &mut Vec<Box<str>>) {
    with_stack(|| match &mut node.kind {
        Kind::Block(_) | Kind::Lambda(_) | Kind::Transform(_) => {
            for predicate in node
                .extras
                .iter_mut()
                .flat_map(|extras| &mut extras.predicates)
            {
                declared(predicate, names);
            }
        }
        Kind::Path(path) if first_binding(path).is_some() => {
            let first = first_binding(path).unwrap_or(0);
            path.steps[..first]
                .iter_mut()
                .for_each(|step| declared(step, names));
        }
        _ => {
            if let Kind::Bind(bind) = &node.kind {
                add(names, &bind.0.name);
            }
            visit::children_mut(node, &mut |child| declared(child, names));
        }
    });
}

/// Marks every node inside which a function is made.
pub(super) fn mark_closures(node: &mut Node) {
    with_stack(|| {
        let mut closure = matches!(node.kind, Kind::Lambda(_) | Kind::Transform(_));
        visit::children_mut(node, &mut |child| {
            mark_closures(child);
            closure |= child.closure;
        });
        node.closure = closure;
    });
}

/// Whether `$eval` is named anywhere.
pub(super) fn names_eval(node: &mut Node) -> bool {
    with_stack(|| {
        let mut found = matches!(&node.kind, Kind::Variable(variable) if *variable.name == *"eval");
        visit::children_mut(node, &mut |child| found = found || names_eval(child));
        found
    })
}
