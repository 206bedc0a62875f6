//! [`Resources`] with units in their types.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// Thousandths of a processor.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millicpu(pub u64);

/// A number of bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl Millicpu {
    /// Whole processors.
    pub const fn cores(cores: u64) -> Self {
        Self(cores.saturating_mul(1000))
    }
}

impl ByteSize {
    /// 2¹⁰ bytes each.
    pub const fn kib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 10))
    }

    /// 2²⁰ bytes each.
    pub const fn mib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 20))
    }

    /// 2³⁰ bytes each.
    pub const fn gib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 30))
    }
}

impl fmt::Display for Millicpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}m", self.0)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        match UNITS.iter().find(|(_, shift)| self.0 >> shift > 0) {
            Some((unit, shift)) if self.0.trailing_zeros() >= *shift => {
                write!(f, "{} {unit}", self.0 >> shift)
            }
            Some((unit, shift)) => {
                write!(f, "{:.1} {unit}", self.0 as f64 / (1u64 << shift) as f64)
            }
            None => write!(f, "{} B", self.0),
        }
    }
}

/// An amount of what a node has and a sandbox takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Processors.
    pub cpu: Millicpu,
    /// Memory.
    pub memory: ByteSize,
    /// What else is counted: GPUs, ports, licences.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extended: BTreeMap<Name, u64>,
}

impl Resources {
    /// Processors and memory.
    pub fn new(cpu: Millicpu, memory: ByteSize) -> Self {
        Self {
            cpu,
            memory,
            extended: BTreeMap::new(),
        }
    }

    /// Whether `self` holds at least `other` of everything.
    pub fn covers(&self, other: &Self) -> bool {
        let held = |name| self.extended.get(name).copied().unwrap_or(0);
        self.cpu >= other.cpu
            && self.memory >= other.memory
            && other
                .extended
                .iter()
                .all(|(name, amount)| held(name) >= *amount)
    }

    /// Both together; saturates.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.cpu.0 = self.cpu.0.saturating_add(other.cpu.0);
        self.memory.0 = self.memory.0.saturating_add(other.memory.0);
        for (name, amount) in &other.extended {
            let held = self.extended.entry(name.clone()).or_default();
            *held = held.saturating_add(*amount);
        }
        self
    }

    /// What is left of `self` without `other`; never below zero.
    #[must_use]
    pub fn minus(mut self, other: &Self) -> Self {
        self.cpu.0 = self.cpu.0.saturating_sub(other.cpu.0);
        self.memory.0 = self.memory.0.saturating_sub(other.memory.0);
        for (name, amount) in &other.extended {
            if let Some(held) = self.extended.get_mut(name) {
                *held = held.saturating_sub(*amount);
            }
        }
        self
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cpu, {} memory", self.cpu, self.memory)?;
        self.extended
            .iter()
            .try_for_each(|(name, amount)| write!(f, ", {amount} {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_add_and_subtract() {
        let gpu = Name::new("gpu").unwrap();
        let mut all = Resources::new(Millicpu::cores(2), ByteSize::gib(1));
        all.extended.insert(gpu.clone(), 1);
        let half = Resources::new(Millicpu(1000), ByteSize::mib(512));
        assert!(all.covers(&half) && !half.covers(&all));
        let rest = all.clone().minus(&half);
        assert_eq!(rest.clone().plus(&half), all);
        assert_eq!(rest.to_string(), "1000m cpu, 512 MiB memory, 1 gpu");
        assert_eq!(half.minus(&all).memory, ByteSize(0));
    }
}
