//! Nodes by what they are and by how much is free on them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use faas_core::{Name, NodeName, Resources};

use super::NodeView;
use crate::agent::{NodeInfo, SandboxState};
use crate::hook::ReachKind;
use crate::spec::ExecutableKind;

/// What nodes have in common that a request can ask for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// Nothing: all nodes.
    All,
    Kind(ExecutableKind),
    State(SandboxState),
    Reach(ReachKind),
    Extended(Name),
    Label(Name, Name),
    /// They have no taint.
    Untainted,
}

impl Group {
    pub(super) fn of(info: &NodeInfo) -> Vec<Self> {
        let kinds = info.executables.iter().copied().map(Self::Kind);
        let states = info.states.iter().copied().map(Self::State);
        let reach = info.reach.iter().copied().map(Self::Reach);
        let extended = info.capacity.extended.keys().cloned().map(Self::Extended);
        let labels = info.labels.iter();
        let labels = labels.map(|(label, value)| Self::Label(label.clone(), value.clone()));
        let untainted = info.taints.is_empty().then_some(Self::Untainted);
        std::iter::once(Self::All)
            .chain(kinds)
            .chain(states)
            .chain(reach)
            .chain(extended)
            .chain(labels)
            .chain(untainted)
            .collect()
    }
}

/// Where a node stands among those of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Spot {
    /// The magnitude of free processors, and the free memory; `None` if it is closed.
    free: Option<(u16, u64)>,
}

impl Spot {
    pub(super) fn of(node: &NodeView) -> Self {
        let free = node.info.capacity.clone().minus(&node.allocated);
        Self {
            free: node.open.then(|| (magnitude(free.cpu.0), free.memory.0)),
        }
    }
}

/// The logarithm to the base of the eighth root of two, roughly: what is of a lower magnitude is
/// less.
fn magnitude(amount: u64) -> u16 {
    const STEPS: u32 = 3;
    let octave = amount.checked_ilog2().unwrap_or(0);
    let step = (amount >> octave.saturating_sub(STEPS)) & ((1 << STEPS) - 1);
    // Both are small.
    (octave << STEPS) as u16 + step as u16
}

/// First those with the least memory, and among them by name; `None` is before every name.
type Key = (u64, Option<NodeName>);

/// The nodes of a group: those that are open by the magnitude of their free processors, then by
/// free memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rooms {
    open: BTreeMap<u16, BTreeSet<Key>>,
    closed: BTreeSet<NodeName>,
    /// How many are open.
    count: usize,
}

impl Rooms {
    pub(super) fn insert(&mut self, name: &NodeName, spot: &Spot) {
        match spot.free {
            Some((cpu, memory)) => {
                let same = self.open.entry(cpu).or_default();
                self.count += usize::from(same.insert((memory, Some(name.clone()))));
            }
            None => drop(self.closed.insert(name.clone())),
        }
    }

    pub(super) fn remove(&mut self, name: &NodeName, spot: &Spot) {
        let Some((cpu, memory)) = spot.free else {
            self.closed.remove(name);
            return;
        };
        if let Some(same) = self.open.get_mut(&cpu) {
            self.count -= usize::from(same.remove(&(memory, Some(name.clone()))));
            if same.is_empty() {
                self.open.remove(&cpu);
            }
        }
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.count + self.closed.len()
    }

    /// All of them.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        let open = self.open.values().flatten();
        open.filter_map(|(_, name)| name.as_ref())
            .chain(&self.closed)
    }

    /// Those that are closed.
    pub(crate) fn closed(&self) -> &BTreeSet<NodeName> {
        &self.closed
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.count
    }

    /// One that has surely not the room.
    pub(crate) fn cramped(&self, needs: &Resources) -> Option<&NodeName> {
        let enough = magnitude(needs.cpu.0);
        let slow = self.open.range(..enough).flat_map(|(_, same)| same);
        let fast = self.open.range(enough..);
        let small = fast.flat_map(|(_, same)| same.range(..(needs.memory.0, None)));
        slow.chain(small).find_map(|(_, name)| name.as_ref())
    }

    /// Those that may have the room, all others surely have not. They come in a fixed order that
    /// begins behind where `after` stands, and goes round.
    pub(crate) fn roomy<'a>(
        &'a self,
        needs: &Resources,
        after: Option<(&NodeName, &Spot)>,
    ) -> impl Iterator<Item = &'a NodeName> + use<'a> {
        let (cpu, memory) = (magnitude(needs.cpu.0), needs.memory.0);
        let after = after.and_then(|(name, spot)| Some((name, spot.free?)));
        let after = after.filter(|(_, free)| *free >= (cpu, memory));
        let least: Key = (memory, None);
        let (split, key) = match after {
            Some((name, (cpu, memory))) => (cpu, (memory, Some(name.clone()))),
            None => (cpu, least.clone()),
        };
        let behind = (
            Bound::Excluded(key.clone().max(least.clone())),
            Bound::Unbounded,
        );
        let here = self.open.get(&split).map(|same| same.range(behind));
        let higher = self.open.range((Bound::Excluded(split), Bound::Unbounded));
        let lower = self.open.range(cpu..split);
        let least_of = least.clone();
        let others = higher.chain(lower);
        let others = others.flat_map(move |(_, same)| same.range(least_of.clone()..));
        let until = (key >= least).then_some((Bound::Included(least), Bound::Included(key)));
        let same = self.open.get(&split);
        let before = until.and_then(|until| Some(same?.range(until)));
        let here = here.into_iter().flatten();
        here.chain(others)
            .chain(before.into_iter().flatten())
            .filter_map(|(_, name)| name.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::{ByteSize, Millicpu};
    use proptest::prelude::*;

    fn spot(cpu: u64, memory: u64) -> Spot {
        Spot {
            free: Some((magnitude(cpu), memory)),
        }
    }

    proptest! {
        #[test]
        fn magnitudes_rise(one: u64, other: u64) {
            let (less, more) = (one.min(other), one.max(other));
            prop_assert!(magnitude(less) <= magnitude(more));
        }

        #[test]
        fn all_with_room_come_once_and_in_turn(
            nodes in prop::collection::vec((0..40u64, 0..40u64), 0..40),
            cpu in 0..40u64, memory in 0..40u64, after in 0..40usize
        ) {
            let mut rooms = Rooms::default();
            let name = |index: usize| NodeName::new(format!("node-{index}")).unwrap();
            for (index, (cpu, memory)) in nodes.iter().enumerate() {
                rooms.insert(&name(index), &spot(*cpu, *memory));
            }
            let needs = Resources::new(Millicpu(cpu), ByteSize(memory));
            let at = nodes.get(after).map(|(cpu, memory)| (name(after), spot(*cpu, *memory)));
            let after = at.as_ref().map(|(name, spot)| (name, spot));
            let found: Vec<_> = rooms.roomy(&needs, after).cloned().collect();
            let once: BTreeSet<_> = found.iter().cloned().collect();
            prop_assert_eq!(once.len(), found.len());
            for (index, (has_cpu, has_memory)) in nodes.iter().enumerate() {
                if *has_cpu >= cpu && *has_memory >= memory {
                    prop_assert!(once.contains(&name(index)));
                }
            }
            if let Some((last, spot)) = &at
                && once.contains(last)
                && spot.free >= Some((magnitude(cpu), memory))
            {
                prop_assert_eq!(found.last(), Some(last), "it is not its turn");
            }
            let cramped = rooms.cramped(&needs);
            prop_assert_eq!(cramped.is_some(), once.len() < nodes.len());
            prop_assert!(cramped.is_none_or(|name| !once.contains(name)));
        }
    }
}
