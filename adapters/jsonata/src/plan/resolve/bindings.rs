//! The names that the steps of a path bind.

use super::super::{Binding, Bindings, Extras, Kind, Node, Path, Stage};
use super::Resolver;
use super::scan::{add, declared};

impl Resolver {
    /// The predicates and the group of a block whose last path gives bindings.
    pub(super) fn bindings_of_block(&mut self, node: &mut Node) {
        let mut names = Vec::new();
        bound(node, &mut names);
        let Some(extras) = &mut node.extras else {
            return;
        };
        let Extras {
            predicates,
            group,
            stages,
            ..
        } = &mut **extras;
        let pairs = group.iter_mut().flat_map(|group| &mut group.pairs);
        let pairs = pairs.flat_map(|(key, value)| [key, value]);
        let mut parts: Vec<&mut Node> = predicates.iter_mut().chain(pairs).collect();
        let closure = parts.iter().any(|part| part.closure);
        let mut declared_too = names.clone();
        parts
            .iter_mut()
            .for_each(|part| declared(part, &mut declared_too));
        let scope = self.scope_of(declared_too, 0, 1, closure, |resolver| {
            parts.into_iter().for_each(|part| resolver.node(part));
        });
        // Stages see what the path around binds.
        for stage in stages {
            if let Stage::Filter(filter) = stage {
                self.node(filter);
            }
        }
        extras.bindings = Some(Bindings {
            first: 0,
            names,
            scope,
        });
    }

    /// A path whose steps bind names.
    pub(super) fn bindings(&mut self, node: &mut Node) {
        let Kind::Path(path) = &mut node.kind else {
            return;
        };
        let first = first_binding(path).unwrap_or(0);
        let mut names = Vec::new();
        path.steps[first..]
            .iter()
            .for_each(|step| bound(step, &mut names));
        let visible = names.len();
        let (before, binding) = path.steps.split_at_mut(first);
        before.iter_mut().for_each(|step| self.node(step));
        let mut declared_too = names.clone();
        binding
            .iter_mut()
            .for_each(|step| declared(step, &mut declared_too));
        let mut group: Vec<&mut Node> = Vec::new();
        if let Some(extras) = &mut node.extras {
            let pairs = extras.group.iter_mut().flat_map(|group| &mut group.pairs);
            group.extend(pairs.flat_map(|(key, value)| [key, value]));
        }
        group
            .iter_mut()
            .for_each(|part| declared(part, &mut declared_too));
        let closure = binding.iter().any(|step| step.closure) || group.iter().any(|p| p.closure);
        place(binding, &names);
        let scope = self.scope_of(declared_too, 0, 1, closure, |resolver| {
            binding.iter_mut().for_each(|step| resolver.node(step));
            group.into_iter().for_each(|part| resolver.node(part));
        });
        names.truncate(visible);
        path.bindings = Some(Bindings {
            first,
            names,
            scope,
        });
    }
}

/// Tells each step at which places of a tuple its names are; the context is at place 0.
fn place(steps: &mut [Node], names: &[Box<str>]) {
    let set = |binding: &mut Binding| {
        binding.slot = names
            .iter()
            .position(|name| *name == binding.name)
            .map_or(0, |at| at + 1);
    };
    for extras in steps.iter_mut().filter_map(|step| step.extras.as_mut()) {
        extras.focus.iter_mut().for_each(set);
        extras.index.iter_mut().for_each(set);
        extras
            .ancestor
            .iter_mut()
            .for_each(|ancestor| set(&mut ancestor.binding));
        for stage in &mut extras.stages {
            if let Stage::Index(binding) = stage {
                set(binding);
            }
        }
    }
}

/// The first step that binds names.
pub(super) fn first_binding(path: &Path) -> Option<usize> {
    path.steps.iter().position(Node::is_tuple)
}

/// The names that a step binds for the steps behind it.
fn bound(step: &Node, names: &mut Vec<Box<str>>) {
    if let Some(extras) = &step.extras {
        let stages = extras.stages.iter().filter_map(|stage| match stage {
            Stage::Index(binding) => Some(binding),
            Stage::Filter(_) => None,
        });
        let ancestor = extras.ancestor.as_ref().map(|ancestor| &ancestor.binding);
        for binding in extras
            .focus
            .iter()
            .chain(&extras.index)
            .chain(ancestor)
            .chain(stages)
        {
            add(names, &binding.name);
        }
    }
    match &step.kind {
        Kind::Path(path) if path.tuple => path.steps.iter().for_each(|step| bound(step, names)),
        Kind::Block(block) => block
            .parts
            .last()
            .iter()
            .for_each(|part| bound(part, names)),
        _ => {}
    }
}
