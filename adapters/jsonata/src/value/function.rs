//! Functions as values.

use std::rc::Rc;

use crate::eval::FrameId;
use crate::plan::{Lambda, Transform};
use crate::regex::Matcher;

use super::Value;

#[derive(Debug)]
pub(crate) enum Function<'a> {
    Lambda(Closure<'a>),
    Partial(PartialCall<'a>),
    /// First the one, then the other.
    Chain(Value<'a>, Value<'a>),
    Regex(&'a Matcher),
    /// Goes on matching a text after a match that ended here, in bytes.
    NextMatch {
        matcher: &'a Matcher,
        text: Rc<str>,
        from: usize,
    },
    Transform(TransformClosure<'a>),
}

/// A lambda and where it was made.
#[derive(Debug)]
pub(crate) struct Closure<'a> {
    pub(crate) lambda: &'a Lambda,
    pub(crate) frame: FrameId,
    pub(crate) input: Value<'a>,
}

/// A function of which some arguments are known.
#[derive(Debug)]
pub(crate) struct PartialCall<'a> {
    pub(crate) function: Value<'a>,
    pub(crate) arguments: Vec<Option<Value<'a>>>,
}

/// A transformation and where it was made.
#[derive(Debug)]
pub(crate) struct TransformClosure<'a> {
    pub(crate) transform: &'a Transform,
    pub(crate) frame: FrameId,
    pub(crate) position: usize,
}

impl Function<'_> {
    /// How deep the values that it holds are nested.
    pub(crate) fn depth(&self) -> u16 {
        match self {
            Self::Lambda(closure) => closure.input.depth() + 1,
            Self::Partial(partial) => {
                let arguments = partial.arguments.iter().flatten().map(Value::depth).max();
                partial.function.depth().max(arguments.unwrap_or(0)) + 1
            }
            Self::Chain(first, second) => first.depth().max(second.depth()) + 1,
            Self::Regex(_) | Self::NextMatch { .. } | Self::Transform(_) => 1,
        }
    }
}
