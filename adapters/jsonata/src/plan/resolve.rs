//! Variables to slots.
//!
//! Names are bound in *scopes*: the whole expression, a block, a function, the bindings of a path.
//! A scope inside which no function is made keeps its names on the stack; others get a frame, which
//! functions remember. A name is bound only once its `:=` was evaluated, so a variable may have
//! several places, of which the innermost that is bound counts.

mod bindings;
mod scan;

use crate::dialect::Dialect;
use crate::error::Result;
use crate::function;
use crate::stack::with_stack;

use super::{
    Global, Kind, Lambda, Node, Plan, Scope, Slot, Stage, Storage, Transform, Variable, visit,
};
use bindings::first_binding;
use scan::{add, declared, mark_closures, names_eval};

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
        free: Vec::new(),
        dialect,
        frames_only: !outer.is_empty() || names_eval(&mut root),
    };
    for names in outer.iter().rev() {
        resolver.scopes.push(Open {
            names: names.to_vec(),
            storage: Storage::Frame,
            always: 0,
        });
    }
    mark_closures(&mut root);
    resolver.stack.push(Extent::default());
    let mut names = Vec::new();
    declared(&mut root, &mut names);
    let closure = root.closure;
    let scope = resolver.scope(names, 0, closure, |resolver| resolver.node(&mut root));
    let stack = resolver.stack.pop().map_or(0, |extent| extent.most);
    Ok(Plan {
        root,
        scope,
        stack,
        globals: resolver.globals,
        free: resolver.free,
    })
}

struct Resolver {
    /// The scopes around the node, outermost first.
    scopes: Vec<Open>,
    /// The stack of each function around the node.
    stack: Vec<Extent>,
    globals: Vec<Global>,
    free: Vec<Box<str>>,
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
        self.scopes.push(Open {
            names: slots,
            storage,
            always,
        });
        inside(self);
        let open = self.scopes.pop();
        if let Storage::Stack(_) = storage
            && let Some(extent) = self.stack.last_mut()
        {
            extent.now -= size;
        }
        Scope {
            storage,
            names: open.map(|open| open.names).unwrap_or_default(),
        }
    }

    fn take_stack(&mut self, size: usize) -> usize {
        let Some(extent) = self.stack.last_mut() else {
            return 0;
        };
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
        let known = self
            .globals
            .iter()
            .position(|global| global.name == variable.name);
        variable.global = Some(known.unwrap_or_else(|| {
            let native = function::named(&variable.name, self.dialect);
            self.globals.push(Global {
                name: variable.name.clone(),
                native,
            });
            self.globals.len() - 1
        }));
    }

    /// A variable that is read: if nothing binds it, the context is to.
    fn read(&mut self, variable: &mut Variable) {
        self.variable(variable);
        let global = variable.global.and_then(|global| self.globals.get(global));
        if variable.places.is_empty()
            && global.is_some_and(|global| global.native.is_none() && *global.name != *"$")
        {
            add(&mut self.free, &variable.name);
        }
    }

    fn lambda(&mut self, lambda: &mut Lambda) {
        let mut names = lambda.parameters.clone();
        let always = names.len();
        declared(&mut lambda.body, &mut names);
        self.stack.push(Extent::default());
        let body = &mut lambda.body;
        let closure = body.closure;
        lambda.scope = self.scope(names, always, closure, |resolver| resolver.node(body));
        lambda.stack = self.stack.pop().map_or(0, |extent| extent.most);
    }

    fn transform(&mut self, transform: &mut Transform) {
        self.variable(&mut transform.clone);
        let mut parts = vec![&mut transform.pattern, &mut transform.update];
        parts.extend(&mut transform.delete);
        let mut names = Vec::new();
        parts.iter_mut().for_each(|part| declared(part, &mut names));
        let closure = parts.iter().any(|part| part.closure);
        self.stack.push(Extent::default());
        transform.scope = self.scope(names, 0, closure, |resolver| {
            parts.into_iter().for_each(|part| resolver.node(part));
        });
        transform.stack = self.stack.pop().map_or(0, |extent| extent.most);
    }

    fn node(&mut self, node: &mut Node) {
        with_stack(|| self.resolve(node));
    }

    fn resolve(&mut self, node: &mut Node) {
        let closure = node.closure;
        match &mut node.kind {
            Kind::Variable(variable) => self.read(variable),
            Kind::Parent { variable, .. } => self.variable(variable),
            Kind::Bind(bind) => {
                self.node(&mut bind.1);
                self.variable(&mut bind.0);
                // It binds in the innermost scope, which declares the name.
                bind.0.places.truncate(1);
            }
            Kind::Block(block) => {
                let mut names = Vec::new();
                block
                    .parts
                    .iter_mut()
                    .for_each(|part| declared(part, &mut names));
                let parts = &mut block.parts;
                block.scope = self.scope(names, 0, closure, |resolver| {
                    parts.iter_mut().for_each(|part| resolver.node(part));
                });
            }
            Kind::Lambda(lambda) => self.lambda(lambda),
            Kind::Transform(transform) => self.transform(transform),
            Kind::Path(path) if first_binding(path).is_some() => {
                self.bindings(node);
                return;
            }
            kind => {
                if let Kind::Path(path) = kind {
                    path.note_plain();
                } else if let Kind::Call(call) = kind {
                    call.meant
                        .iter_mut()
                        .for_each(|variable| self.variable(variable));
                } else if let Kind::Partial(partial) = kind {
                    partial
                        .meant
                        .iter_mut()
                        .for_each(|variable| self.variable(variable));
                }
                visit::parts_mut(node, &mut |part| self.node(part));
            }
        }
        if node.is_tuple() && matches!(node.kind, Kind::Block(_)) {
            self.bindings_of_block(node);
        } else if let Some(extras) = &mut node.extras {
            extras
                .predicates
                .iter_mut()
                .for_each(|predicate| self.node(predicate));
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
        let Kind::Block(block) = &plan.root.kind else {
            panic!()
        };
        assert_eq!(block.scope.storage, Storage::Stack(0));
        assert_eq!(plan.stack, 2);
        assert_eq!(
            plan.globals.len(),
            2,
            "a name may be looked up before it is bound"
        );
    }

    #[test]
    fn a_scope_with_functions_has_a_frame() {
        let plan = plan("( $a := 1; function($x) { $a + $x } )");
        let Kind::Block(block) = &plan.root.kind else {
            panic!()
        };
        assert_eq!(block.scope.storage, Storage::Frame);
        let Kind::Lambda(lambda) = &block.parts[1].kind else {
            panic!()
        };
        assert_eq!(lambda.scope.storage, Storage::Stack(0));
        let Kind::Binary(_, pair) = &lambda.body.kind else {
            panic!()
        };
        let (Kind::Variable(a), Kind::Variable(x)) = (&pair.0.kind, &pair.1.kind) else {
            panic!()
        };
        assert_eq!(a.places, [Slot::Frame { hops: 0, slot: 0 }]);
        assert_eq!(
            (x.places.as_slice(), x.global),
            ([Slot::Stack(0)].as_slice(), None)
        );
    }
}
