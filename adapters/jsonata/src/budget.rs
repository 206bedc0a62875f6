//! What one evaluation may use.

use crate::error::{Error, Result};
use crate::limits::Limits;

/// What is left of the limits.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    limits: Limits,
    used: u64,
    /// How many bytes of result were made.
    result: usize,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            used: 0,
            result: 0,
        }
    }

    /// So many steps, and otherwise what is usual.
    pub(crate) fn of(steps: u64) -> Self {
        Self::new(Limits {
            steps,
            ..Limits::default()
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Spends steps: one for each part of an expression that is evaluated, and for each part of a
    /// value that is looked at or made.
    #[inline]
    pub(crate) fn charge(&mut self, steps: usize) -> Result<()> {
        self.used = self.used.saturating_add(steps as u64);
        if self.used > self.limits.steps {
            return Err(Error::new("D1012").with("value", self.limits.steps));
        }
        Ok(())
    }

    /// Whether a text may have so many bytes; it costs a step for each sixteen.
    pub(crate) fn text(&mut self, bytes: usize) -> Result<()> {
        self.fits(bytes)?;
        self.charge(1 + bytes / 16)
    }

    pub(crate) fn fits(&self, bytes: usize) -> Result<()> {
        if bytes > self.limits.bytes {
            return Err(Error::new("D1014").with("value", self.limits.bytes));
        }
        Ok(())
    }

    /// So many more bytes of result.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<()> {
        self.result = self.result.saturating_add(bytes);
        self.fits(self.result)
    }

    /// Whether an array of `count` elements may have `more`; each of those costs a step.
    pub(crate) fn extend(&mut self, count: usize, more: usize) -> Result<()> {
        if count.saturating_add(more) > self.limits.sequence {
            return Err(Error::new("D2015").with("value", self.limits.sequence));
        }
        self.charge(more)
    }
}
