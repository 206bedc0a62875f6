//! Paths, and what may follow a step.

use crate::ast::{self, Expr, ExprKind, Pairs};
use crate::error::{Error, Result};

use super::super::{Binding, Group, Kind, Node, Path, Stage, Term};
use super::Normalizer;

impl Normalizer {
    pub(super) fn dot(&mut self, expr: &Expr, left: &Expr, right: &Expr) -> Result<Node> {
        let left = self.node(left, false)?;
        let seeking = match left.kind {
            Kind::Parent { id, .. } => Some(id),
            _ => None,
        };
        let mut node = left.into_path();
        if let Some(id) = seeking {
            node.extras_mut().seeking = vec![id];
        }
        node.place.end = expr.place.end;
        let Kind::Path(path) = &mut node.kind else {
            return Ok(node);
        };
        if let ExprKind::Name(name) = &right.kind {
            // Most steps are names: no path is made only to be taken apart.
            path.steps
                .push(Node::new(Kind::Name(name.as_str().into()), right.place));
        } else {
            let right = self.node(right, false)?;
            match right.kind {
                Kind::Path(rest) => path.steps.extend(rest.steps),
                _ => path.steps.push(right.with_stages()),
            }
        }
        for step in &mut path.steps {
            match &mut step.kind {
                Kind::Number(number) => {
                    let value = crate::value::number::to_json(*number);
                    return Err(step.error("S0213").with("value", value));
                }
                Kind::Null => return Err(step.error("S0213").with("value", ())),
                Kind::Bool(value) => {
                    let value = *value;
                    return Err(step.error("S0213").with("value", value));
                }
                Kind::Text(text) => step.kind = Kind::Name(std::mem::take(text)),
                _ => {}
            }
        }
        path.keep_singleton |= path.steps.iter().any(|step| step.keep_array);
        let last = path.steps.len() - 1;
        for at in [0, last] {
            let step = &mut path.steps[at];
            step.constructed |= matches!(step.kind, Kind::Array(_));
        }
        self.ancestry.resolve(&mut node)?;
        Ok(node)
    }

    pub(super) fn filter(
        &mut self,
        expr: &Expr,
        left: &Expr,
        predicate: &Expr,
        keep: bool,
    ) -> Result<Node> {
        let mut node = self.node(left, keep)?;
        node.place.end = expr.place.end;
        let in_path = matches!(node.kind, Kind::Path(_));
        let step = node.last_step();
        if step
            .extras
            .as_ref()
            .is_some_and(|extras| extras.group.is_some())
        {
            return Err(Error::new("S0209").at(expr.place.position));
        }
        let predicate = self.node(predicate, false)?;
        self.ancestry.pass_predicate(step, &predicate)?;
        let extras = step.extras_mut();
        if in_path {
            extras.stages.push(Stage::Filter(predicate));
        } else {
            extras.predicates.push(predicate);
        }
        Ok(node)
    }

    pub(super) fn group(&mut self, expr: &Expr, left: &Expr, pairs: &Pairs) -> Result<Node> {
        let mut node = self.node(left, false)?;
        node.place.end = expr.place.end;
        if node
            .extras
            .as_ref()
            .is_some_and(|extras| extras.group.is_some())
        {
            return Err(Error::new("S0210").at(expr.place.position));
        }
        let pairs = self.pairs(pairs)?;
        node.extras_mut().group = Some(Group {
            pairs,
            position: expr.place.position,
        });
        Ok(node)
    }

    pub(super) fn sort(&mut self, expr: &Expr, left: &Expr, terms: &[ast::Term]) -> Result<Node> {
        let mut node = self.node(left, false)?.into_path();
        node.place.end = expr.place.end;
        let mut step = Node::new(Kind::Null, expr.place);
        let mut sorted = Vec::with_capacity(terms.len());
        for term in terms {
            let key = self.node(&term.key, false)?;
            step.adopt(&key);
            sorted.push(Term {
                descending: term.descending,
                key,
            });
        }
        step.kind = Kind::Sort(sorted);
        if let Kind::Path(path) = &mut node.kind {
            path.steps.push(step);
        }
        self.ancestry.resolve(&mut node)?;
        Ok(node)
    }

    pub(super) fn focus(
        &mut self,
        expr: &Expr,
        left: &Expr,
        name: &str,
        keep: bool,
    ) -> Result<Node> {
        let mut node = self.node(left, false)?;
        node.place.end = expr.place.end;
        let step = node.last_step();
        let extras = step.extras.as_ref();
        if extras.is_some_and(|e| !e.stages.is_empty() || !e.predicates.is_empty()) {
            return Err(Error::new("S0215").at(expr.place.position));
        }
        if matches!(step.kind, Kind::Sort(_)) {
            return Err(Error::new("S0216").at(expr.place.position));
        }
        step.keep_array |= keep;
        let extras = step.extras_mut();
        extras.focus = Some(Binding {
            name: name.into(),
            slot: 0,
        });
        extras.tuple = true;
        Ok(node)
    }

    pub(super) fn index(&mut self, left: &Expr, name: &str) -> Result<Node> {
        let node = self.node(left, false)?;
        let mut node = match node.kind {
            Kind::Path(_) => node,
            _ => node.with_stages().into_path(),
        };
        let extras = node.last_step().extras_mut();
        let binding = Binding {
            name: name.into(),
            slot: 0,
        };
        if extras.stages.is_empty() {
            extras.index = Some(binding);
        } else {
            extras.stages.push(Stage::Index(binding));
        }
        extras.tuple = true;
        Ok(node)
    }
}

impl Node {
    /// The node as a path: of itself, where it is none.
    fn into_path(self) -> Self {
        if matches!(self.kind, Kind::Path(_)) {
            return self;
        }
        let place = self.place;
        let path = Path::new(vec![self], false);
        Self::new(Kind::Path(Box::new(path)), place)
    }

    /// The node as a step: its predicates are stages.
    fn with_stages(mut self) -> Self {
        if let Some(extras) = &mut self.extras {
            let predicates = std::mem::take(&mut extras.predicates);
            extras
                .stages
                .extend(predicates.into_iter().map(Stage::Filter));
        }
        self
    }

    /// The step that a predicate or a binding is about.
    fn last_step(&mut self) -> &mut Self {
        match self.kind {
            Kind::Path(ref mut path) => {
                let last = path.steps.len() - 1;
                &mut path.steps[last]
            }
            _ => self,
        }
    }
}
