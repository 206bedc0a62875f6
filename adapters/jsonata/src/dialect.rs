//! Which functions an expression may name.

/// The functions that an expression may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Those of JSONata.
    #[default]
    Standard,
    /// Those of Amazon States Language: without `$eval`, with `$partition`, `$range`, `$hash`,
    /// `$random` with a seed, `$uuid` and `$parse`.
    StepFunctions,
}
