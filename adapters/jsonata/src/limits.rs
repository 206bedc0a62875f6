//! The bounds of one evaluation.

/// What one evaluation may use. Every bound ends it with an error of
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit); none depends on a clock, so the same expression
/// on the same input always ends the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many steps may be nested (`D1011`). Each takes some hundred bytes of memory; the native
    /// stack grows as needed.
    pub depth: usize,
    /// How many steps may be taken (`D1012`): one for each part of the expression each time that
    /// it is evaluated, one for each element made or looked at, one for each 16 bytes of text
    /// made. A step takes some ten to hundred nanoseconds.
    pub steps: u64,
    /// How many elements one array may have (`D2015`).
    pub sequence: usize,
    /// How many bytes one text, and the result, may have (`D1014`).
    pub bytes: usize,
}

impl Default for Limits {
    /// 1,000 nested steps; 50,000,000 steps; 10,000,000 elements; 64 MiB.
    fn default() -> Self {
        Self {
            depth: 1_000,
            steps: 50_000_000,
            sequence: 10_000_000,
            bytes: 64 << 20,
        }
    }
}

impl Limits {
    /// These limits with so many nested steps.
    #[must_use]
    pub fn depth(self, depth: usize) -> Self {
        Self { depth, ..self }
    }

    /// These limits with so many steps.
    #[must_use]
    pub fn steps(self, steps: u64) -> Self {
        Self { steps, ..self }
    }

    /// These limits with so many elements in an array.
    #[must_use]
    pub fn sequence(self, elements: usize) -> Self {
        Self {
            sequence: elements,
            ..self
        }
    }

    /// These limits with so many bytes of text or result.
    #[must_use]
    pub fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }
}
