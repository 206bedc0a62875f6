//! Which step binds the parent that a `%` asks for.
//!
//! A `%` looks for the step that made its context; each step to the left that goes down one level
//! may be it. The step that is found binds its own context under a name that no text can write.

use crate::error::Result;
use crate::stack::with_stack;

use super::{Ancestor, Binding, Kind, Node, Variable, visit};

#[derive(Debug, Default)]
pub(super) struct Ancestry {
    parents: Vec<Parent>,
}

/// What is known of one `%`.
#[derive(Debug)]
struct Parent {
    /// How many levels up are still to go.
    level: usize,
    /// Parents of one step share a label.
    label: usize,
}

impl Ancestry {
    /// A `%`.
    pub(super) fn parent(&mut self) -> Kind {
        let id = self.parents.len();
        self.parents.push(Parent {
            level: 1,
            label: id,
        });
        Kind::Parent {
            id,
            variable: Variable::named(""),
        }
    }

    /// Looks among the steps of a path for the parents that its last step asks for.
    pub(super) fn resolve(&mut self, node: &mut Node) -> Result<()> {
        let Kind::Path(path) = &mut node.kind else {
            return Ok(());
        };
        let Some((last, before)) = path.steps.split_last_mut() else {
            return Ok(());
        };
        let mut open = Vec::new();
        for id in last.sought() {
            let mut index = before.len();
            while self.parents[id].level > 0 {
                if index == 0 {
                    open.push(id);
                    break;
                }
                index -= 1;
                // Contiguous steps that bind their focus share one context.
                while index > 0 && before[index].has_focus() && before[index - 1].has_focus() {
                    index -= 1;
                }
                self.seek(&mut before[index], id)?;
            }
        }
        if !open.is_empty() {
            node.extras_mut().seeking.extend(open);
        }
        Ok(())
    }

    /// The parents that a predicate asks for: the step's own, or of what is to its left.
    pub(super) fn pass_predicate(&mut self, step: &mut Node, predicate: &Node) -> Result<()> {
        let seeking = predicate
            .extras
            .iter()
            .flat_map(|extras| extras.seeking.iter().copied());
        for id in seeking.collect::<Vec<_>>() {
            if self.parents[id].level == 1 {
                self.seek(step, id)?;
            } else {
                self.parents[id].level = self.parents[id].level.saturating_sub(1);
            }
        }
        if predicate.is_seeking() {
            step.adopt(predicate);
        }
        Ok(())
    }

    /// Lets a node be the one that knows the parent, if it goes down to where it is sought.
    fn seek(&mut self, node: &mut Node, id: usize) -> Result<()> {
        with_stack(|| self.seek_in(node, id))
    }

    fn seek_in(&mut self, node: &mut Node, id: usize) -> Result<()> {
        match &mut node.kind {
            Kind::Name(_) | Kind::Wildcard => {
                self.parents[id].level = self.parents[id].level.saturating_sub(1);
                if self.parents[id].level == 0 {
                    let extras = node.extras_mut();
                    if let Some(known) = &extras.ancestor {
                        self.parents[id].label = self.parents[known.id].label;
                    }
                    extras.ancestor = Some(Ancestor {
                        id,
                        binding: Binding {
                            name: "".into(),
                            slot: 0,
                        },
                    });
                    extras.tuple = true;
                }
            }
            Kind::Parent { .. } => self.parents[id].level += 1,
            Kind::Block(block) => {
                if let Some(last) = block.parts.last_mut() {
                    self.seek(last, id)?;
                    node.extras_mut().tuple = true;
                }
            }
            Kind::Path(path) => {
                path.tuple = true;
                for (at, step) in path.steps.iter_mut().rev().enumerate() {
                    if at > 0 && self.parents[id].level == 0 {
                        break;
                    }
                    self.seek(step, id)?;
                }
                node.extras_mut().tuple = true;
            }
            _ => return Err(node.error("S0217").token(node.type_name())),
        }
        Ok(())
    }

    /// Gives every parent, and the step that knows it, the name by which they find each other.
    pub(super) fn name(&self, node: &mut Node) {
        if self.parents.is_empty() {
            return;
        }
        with_stack(|| {
            if let Kind::Parent { id, variable } = &mut node.kind {
                variable.name = self.label(*id);
            }
            if let Some(extras) = &mut node.extras
                && let Some(ancestor) = &mut extras.ancestor
            {
                ancestor.binding.name = self.label(ancestor.id);
            }
            visit::children_mut(node, &mut |child| self.name(child));
        });
    }

    fn label(&self, id: usize) -> Box<str> {
        format!("!{}", self.parents[id].label).into()
    }
}

impl Node {
    pub(super) fn is_seeking(&self) -> bool {
        self.extras
            .as_ref()
            .is_some_and(|extras| !extras.seeking.is_empty())
    }

    fn has_focus(&self) -> bool {
        self.extras
            .as_ref()
            .is_some_and(|extras| extras.focus.is_some())
    }

    /// The parents that this node asks for.
    fn sought(&self) -> Vec<usize> {
        let mut ids = self
            .extras
            .as_ref()
            .map(|e| e.seeking.clone())
            .unwrap_or_default();
        if let Kind::Parent { id, .. } = self.kind {
            ids.push(id);
        }
        ids
    }

    /// Asks for the parents that a part of it asks for.
    pub(super) fn adopt(&mut self, part: &Self) {
        let sought = part.sought();
        if !sought.is_empty() {
            self.extras_mut().seeking.extend(sought);
        }
    }
}
