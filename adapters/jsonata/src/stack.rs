//! Recursion that cannot overflow the native stack.

/// How many bytes must be left, and how many more there are to be where they are not.
const LEFT: usize = 128 * 1024;
const MORE: usize = 1024 * 1024;

/// Runs `recurse` on this stack where enough of it is left, and on a new piece where not. What
/// recurses is bounded elsewhere: by the nesting of an expression or a value, or by the limits.
#[inline]
pub(crate) fn with_stack<R>(recurse: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(LEFT, MORE, recurse)
}
