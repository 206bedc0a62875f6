//! Variables to slots.
//!
//! Names are bound in *scopes*: the whole expression, a block, a function, the bindings of a path.
//! A scope inside which no function is made keeps its names on the stack; others get a frame, which
//! functions remember. A name is bound only once its `:=` was evaluated, so a variable may have
//! several places, of which the innermost that is bound counts.

use crate::dialect::Dialect;
use crate::error::Result;
use crate::function;
use crate::stack::with_stack;

use super::{
    Binding, Bindings, Extras, Global, Kind, Node, Path, Plan, Scope, Slot, Stage, Storage, Variable, visit,
};

/// The plan of `root`, within frames of the names `outer`, innermost first.
pub(super) fn resolve(
    mut root: Node,
    outer: &[&[Box<str>]],
    globals: Vec<Global>,
    dialect: Dialect,
) -> Result<Plan> {
    let mut resolver = Resolver {
        scopes: Vec::new(),
        stack: Vec::new(),
        globals,
        dialect,
        frames_only: !outer.is_empty() || names_eval(&mut root),
    };
    for names in outer.iter().rev() {
        resolver.scopes.push(Open { names: names.to_vec(), storage: Storage::Frame, always: 0 });
    }
    mark_closures(&mut root);
    resolver.stack.push(Extent::default());
    let mut names = Vec::new();
    declared(&mut root, &mut names);
    let closure = root.closure;
    let scope = resolver.scope(names, 0, closure, |resolver| resolver.node(&mut root));
    let stack = resolver.stack.pop().map_or(0, |extent| extent.most);
    Ok(Plan { root, scope, stack, globals: resolver.globals })
}

struct Resolver {
    /// The scopes around the node, outermost first.
    scopes: Vec<Open>,
    /// The stack of each function around the node.
    stack: Vec<Extent>,
    globals: Vec<Global>,
    dialect: Dialect,
    /// Every scope gets a frame: a text that is evaluated at run time may name anything.
    frames_only: bool,
}

struct Open {
    names: Vec<Box<str>>,
    storage: Storage,
    /// How many of the names, the first ones, are bound from the start.
    always: usize,
}

/// How many slots of the stack are in use, and were at most.
#[derive(Default)]
struct Extent {
    now: usize,
    most: usize,
}

impl Resolver {
    /// Resolves what `inside` visits within a scope of `names`.
    fn scope(
        &mut self,
        names: Vec<Box<str>>,
        always: usize,
        closure: bool,
        inside: impl FnOnce(&mut Self),
    ) -> Scope {
        self.scope_of(names, always, 0, closure, inside)
    }

    /// The same, with `extra` slots before the names.
    fn scope_of(
        &mut self,
        names: Vec<Box<str>>,
        always: usize,
        extra: usize,
        closure: bool,
        inside: impl FnOnce(&mut Self),
    ) -> Scope {
        let size = names.len() + extra;
        let storage = if size == 0 {
            Storage::Nowhere
        } else if closure || self.frames_only {
            Storage::Frame
        } else {
            Storage::Stack(self.take_stack(size))
        };
        // A slot without a name keeps the places of those that have one.
        let mut slots: Vec<Box<str>> = vec!["".into(); extra];
        slots.extend(names);
        self.scopes.push(Open { names: slots, storage, always });
        inside(self);
        let open = self.scopes.pop();
        if let Storage::Stack(_) = storage
            && let Some(extent) = self.stack.last_mut()
        {
            extent.now -= size;
        }
        Scope { storage, names: open.map(|open| open.names).unwrap_or_default() }
    }

    fn take_stack(&mut self, size: usize) -> usize {
        let Some(extent) = self.stack.last_mut() else { return 0 };
        let start = extent.now;
        extent.now += size;
        extent.most = extent.most.max(extent.now);
        start
    }

    fn variable(&mut self, variable: &mut Variable) {
        let mut hops = 0;
        for open in self.scopes.iter().rev() {
            let found = open.names.iter().position(|name| *name == variable.name);
            if let Some(slot) = found.filter(|_| !variable.name.is_empty()) {
                match open.storage {
                    Storage::Stack(start) => variable.places.push(Slot::Stack(start + slot)),
                    Storage::Frame => variable.places.push(Slot::Frame { hops, slot }),
                    Storage::Nowhere => {}
                }
                if slot < open.always {
                    return;
                }
            }
            hops += usize::from(open.storage == Storage::Frame);
        }
        let known = self.globals.iter().position(|global| global.name == variable.name);
        variable.global = Some(known.unwrap_or_else(|| {
            let native = function::named(&variable.name, self.dialect);
            self.globals.push(Global { name: variable.name.clone(), native });
            self.globals.len() - 1
        }));
    }

    fn node(&mut self, node: &mut Node) {
        with_stack(|| self.resolve(node));
    }

    fn resolve(&mut self, node: &mut Node) {
        let closure = node.closure;
        match &mut node.kind {
            Kind::Variable(variable) | Kind::Parent { variable, .. } => self.variable(variable),
            Kind::Bind(bind) => {
                self.node(&mut bind.1);
                self.variable(&mut bind.0);
                // It binds in the innermost scope, which declares the name.
                bind.0.places.truncate(1);
            }
            Kind::Block(block) => {
                let mut names = Vec::new();
                block.parts.iter_mut().for_each(|part| declared(part, &mut names));
                let parts = &mut block.parts;
                block.scope = self.scope(names, 0, closure, |resolver| {
                    parts.iter_mut().for_each(|part| resolver.node(part));
                });
            }
            Kind::Lambda(lambda) => {
                let mut names = lambda.parameters.clone();
                let always = names.len();
                declared(&mut lambda.body, &mut names);
                self.stack.push(Extent::default());
                let body = &mut lambda.body;
                let inner = body.closure;
                lambda.scope = self.scope(names, always, inner, |resolver| resolver.node(body));
                lambda.stack = self.stack.pop().map_or(0, |extent| extent.most);
            }
            Kind::Transform(transform) => {
                self.variable(&mut transform.clone);
                let mut parts = vec![&mut transform.pattern, &mut transform.update];
                parts.extend(&mut transform.delete);
                let mut names = Vec::new();
                parts.iter_mut().for_each(|part| declared(part, &mut names));
                let inner = parts.iter().any(|part| part.closure);
                self.stack.push(Extent::default());
                transform.scope = self.scope(names, 0, inner, |resolver| {
                    parts.into_iter().for_each(|part| resolver.node(part));
                });
                transform.stack = self.stack.pop().map_or(0, |extent| extent.most);
            }
            Kind::Path(path) if first_binding(path).is_some() => {
                self.bindings(node);
                return;
            }
            kind => {
                if let Kind::Call(call) = kind {
                    call.meant.iter_mut().for_each(|variable| self.variable(variable));
                } else if let Kind::Partial(partial) = kind {
                    partial.meant.iter_mut().for_each(|variable| self.variable(variable));
                }
                visit::parts_mut(node, &mut |part| self.node(part));
            }
        }
        if node.is_tuple() && matches!(node.kind, Kind::Block(_)) {
            self.bindings_of_block(node);
        } else if let Some(extras) = &mut node.extras {
            extras.predicates.iter_mut().for_each(|predicate| self.node(predicate));
            for stage in &mut extras.stages {
                if let Stage::Filter(filter) = stage {
                    self.node(filter);
                }
            }
        }
        if let Some(extras) = &mut node.extras
            && extras.bindings.is_none()
        {
            for (key, value) in extras.group.iter_mut().flat_map(|group| &mut group.pairs) {
                self.node(key);
                self.node(value);
            }
        }
    }

    /// The predicates and the group of a block whose last path gives bindings.
    fn bindings_of_block(&mut self, node: &mut Node) {
        let mut names = Vec::new();
        bound(node, &mut names);
        let Some(extras) = &mut node.extras else { return };
        let Extras { predicates, group, stages, .. } = &mut **extras;
        let pairs = group.iter_mut().flat_map(|group| &mut group.pairs);
        let pairs = pairs.flat_map(|(key, value)| [key, value]);
        let mut parts: Vec<&mut Node> = predicates.iter_mut().chain(pairs).collect();
        let closure = parts.iter().any(|part| part.closure);
        let mut declared_too = names.clone();
        parts.iter_mut().for_each(|part| declared(part, &mut declared_too));
        let scope = self.scope_of(declared_too, 0, 1, closure, |resolver| {
            parts.into_iter().for_each(|part| resolver.node(part));
        });
        // Stages see what the path around binds.
        for stage in stages {
            if let Stage::Filter(filter) = stage {
                self.node(filter);
            }
        }
        extras.bindings = Some(Bindings { first: 0, names, scope });
    }

    /// A path whose steps bind names.
    fn bindings(&mut self, node: &mut Node) {
        let Kind::Path(path) = &mut node.kind else { return };
        let first = first_binding(path).unwrap_or(0);
        let mut names = Vec::new();
        path.steps[first..].iter().for_each(|step| bound(step, &mut names));
        let visible = names.len();
        let (before, binding) = path.steps.split_at_mut(first);
        before.iter_mut().for_each(|step| self.node(step));
        let mut declared_too = names.clone();
        binding.iter_mut().for_each(|step| declared(step, &mut declared_too));
        let mut group: Vec<&mut Node> = Vec::new();
        if let Some(extras) = &mut node.extras {
            let pairs = extras.group.iter_mut().flat_map(|group| &mut group.pairs);
            group.extend(pairs.flat_map(|(key, value)| [key, value]));
        }
        group.iter_mut().for_each(|part| declared(part, &mut declared_too));
        let closure = binding.iter().any(|step| step.closure) || group.iter().any(|p| p.closure);
        place(binding, &names);
        let scope = self.scope_of(declared_too, 0, 1, closure, |resolver| {
            binding.iter_mut().for_each(|step| resolver.node(step));
            group.into_iter().for_each(|part| resolver.node(part));
        });
        names.truncate(visible);
        path.bindings = Some(Bindings { first, names, scope });
    }
}

/// Tells each step at which places of a tuple its names are; the context is at place 0.
fn place(steps: &mut [Node], names: &[Box<str>]) {
    let set = |binding: &mut Binding| {
        binding.slot = names.iter().position(|name| *name == binding.name).map_or(0, |at| at + 1);
    };
    for extras in steps.iter_mut().filter_map(|step| step.extras.as_mut()) {
        extras.focus.iter_mut().for_each(set);
        extras.index.iter_mut().for_each(set);
        extras.ancestor.iter_mut().for_each(|ancestor| set(&mut ancestor.binding));
        for stage in &mut extras.stages {
            if let Stage::Index(binding) = stage {
                set(binding);
            }
        }
    }
}

fn first_binding(path: &Path) -> Option<usize> {
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
        for binding in extras.focus.iter().chain(&extras.index).chain(ancestor).chain(stages) {
            add(names, &binding.name);
        }
    }
    match &step.kind {
        Kind::Path(path) if path.tuple => path.steps.iter().for_each(|step| bound(step, names)),
        Kind::Block(block) => block.parts.last().iter().for_each(|part| bound(part, names)),
        _ => {}
    }
}

fn add(names: &mut Vec<Box<str>>, name: &str) {
    if names.iter().all(|known| **known != *name) {
        names.push(name.into());
    }
}

/// The names that `node` binds in the scope around it.
fn declared(node: &mut Node, names: &mut Vec<Box<str>>) {
    with_stack(|| match &mut node.kind {
        Kind::Block(_) | Kind::Lambda(_) | Kind::Transform(_) => {
            for predicate in node.extras.iter_mut().flat_map(|extras| &mut extras.predicates) {
                declared(predicate, names);
            }
        }
        Kind::Path(path) if first_binding(path).is_some() => {
            let first = first_binding(path).unwrap_or(0);
            path.steps[..first].iter_mut().for_each(|step| declared(step, names));
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
fn mark_closures(node: &mut Node) {
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
fn names_eval(node: &mut Node) -> bool {
    with_stack(|| {
        let mut found = matches!(&node.kind, Kind::Variable(variable) if *variable.name == *"eval");
        visit::children_mut(node, &mut |child| found = found || names_eval(child));
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(source: &str) -> Plan {
        Plan::within(source, &[], Vec::new()).unwrap()
    }

    #[test]
    fn a_scope_without_functions_is_on_the_stack() {
        let plan = plan("( $a := 1; ( $b := $a; $b ) )");
        let Kind::Block(block) = &plan.root.kind else { panic!() };
        assert_eq!(block.scope.storage, Storage::Stack(0));
        assert_eq!(plan.stack, 2);
        assert_eq!(plan.globals.len(), 2, "a name may be looked up before it is bound");
    }

    #[test]
    fn a_scope_with_functions_has_a_frame() {
        let plan = plan("( $a := 1; function($x) { $a + $x } )");
        let Kind::Block(block) = &plan.root.kind else { panic!() };
        assert_eq!(block.scope.storage, Storage::Frame);
        let Kind::Lambda(lambda) = &block.parts[1].kind else { panic!() };
        assert_eq!(lambda.scope.storage, Storage::Stack(0));
        let Kind::Binary(_, pair) = &lambda.body.kind else { panic!() };
        let (Kind::Variable(a), Kind::Variable(x)) = (&pair.0.kind, &pair.1.kind) else { panic!() };
        assert_eq!(a.places, [Slot::Frame { hops: 0, slot: 0 }]);
        assert_eq!((x.places.as_slice(), x.global), ([Slot::Stack(0)].as_slice(), None));
    }
}
