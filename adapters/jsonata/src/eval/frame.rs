//! Where names are kept while what they are visible in is evaluated.

use crate::plan::{Scope, Slot, Storage, Variable};
use crate::value::Value;

use super::Evaluator;

/// A frame, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameId(usize);

impl FrameId {
    const NONE: Self = Self(usize::MAX);
}

/// Where the names around a node are: on the stack above a base, and in a frame and those around
/// it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env {
    pub(crate) base: usize,
    pub(crate) frame: FrameId,
}

impl Default for Env {
    fn default() -> Self {
        Self {
            base: 0,
            frame: FrameId::NONE,
        }
    }
}

/// Names of a scope that functions may remember. Frames live until the evaluation ends, or until
/// their scope is left and no function can have remembered them: so what refers to each other in
/// circles is freed, too.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    around: FrameId,
    names: &'a [Box<str>],
    slots: Vec<Option<Value<'a>>>,
}

impl<'a> Evaluator<'a> {
    /// Makes the scope's names, unbound.
    pub(super) fn enter(&mut self, scope: &'a Scope, env: Env) -> Env {
        match scope.storage {
            Storage::Nowhere => env,
            Storage::Stack(start) => {
                let start = env.base + start;
                self.stack[start..start + scope.names.len()].fill(None);
                env
            }
            Storage::Frame => {
                let slots = vec![None; scope.names.len()];
                self.frames.push(Frame {
                    around: env.frame,
                    names: &scope.names,
                    slots,
                });
                Env {
                    frame: FrameId(self.frames.len() - 1),
                    ..env
                }
            }
        }
    }

    /// Leaves a scope that was entered with the environment `inner`.
    pub(super) fn exit(&mut self, scope: &'a Scope, inner: Env) {
        match scope.storage {
            Storage::Nowhere => {}
            Storage::Stack(start) => {
                let start = inner.base + start;
                self.stack[start..start + scope.names.len()].fill(None);
            }
            Storage::Frame => {
                if inner.frame.0 + 1 == self.frames.len() && inner.frame.0 >= self.pinned {
                    self.frames.pop();
                }
            }
        }
    }

    /// A function is made here: the frames around it stay.
    pub(super) fn pin(&mut self, env: Env) {
        if env.frame != FrameId::NONE {
            self.pinned = self.pinned.max(env.frame.0 + 1);
        }
    }

    /// Binds a slot of a scope that was entered with the environment `inner`.
    pub(super) fn set(&mut self, scope: &Scope, slot: usize, value: Option<Value<'a>>, inner: Env) {
        match scope.storage {
            Storage::Nowhere => {}
            Storage::Stack(start) => self.stack[inner.base + start + slot] = value,
            Storage::Frame => self.frames[inner.frame.0].slots[slot] = value,
        }
    }

    /// The value of a variable; undefined where it is not bound.
    #[inline]
    pub(super) fn variable(&self, variable: &Variable, env: Env) -> Value<'a> {
        for &slot in &variable.places {
            let value = match slot {
                Slot::Stack(slot) => &self.stack[env.base + slot],
                Slot::Frame { hops, slot } => {
                    &self.frames[self.outwards(env.frame, hops).0].slots[slot]
                }
            };
            if let Some(value) = value {
                return value.clone();
            }
        }
        variable
            .global
            .map_or(Value::Undefined, |global| self.globals[global].clone())
    }

    /// Binds a variable in the scope that declares it.
    pub(super) fn assign(&mut self, variable: &Variable, value: Value<'a>, env: Env) {
        match variable.places.first() {
            None => {}
            Some(Slot::Stack(slot)) => self.stack[env.base + slot] = Some(value),
            Some(Slot::Frame { hops, slot }) => {
                let frame = self.outwards(env.frame, *hops);
                self.frames[frame.0].slots[*slot] = Some(value);
            }
        }
    }

    fn outwards(&self, mut frame: FrameId, hops: usize) -> FrameId {
        for _ in 0..hops {
            frame = self.frames[frame.0].around;
        }
        frame
    }

    /// The names of the frames around, innermost first.
    pub(super) fn frame_names(&self, env: Env) -> Vec<&'a [Box<str>]> {
        let mut names = Vec::new();
        let mut frame = env.frame;
        while let Some(found) = self.frames.get(frame.0) {
            names.push(found.names);
            frame = found.around;
        }
        names
    }
}
