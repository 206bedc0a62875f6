//! All revisions under one limit: who gets how much of what is left.

use std::collections::BTreeMap;

use faas_core::explain::Reason;
use faas_core::{InstanceId, Monotonic, Resources};

use super::{Fleet, RevisionId, RevisionLoad, ScaleDecision};

const LIMITED: Reason = Reason::new(
    "scale.limit",
    "{wanted} are wanted, the limit of all instances leaves room for {given}",
)
.helped_by("raise the limit, or lower the resources of an instance");
const RECLAIMED: Reason = Reason::new(
    "scale.reclaimed",
    "{count} idle ones make room for what waits elsewhere",
);

/// How many instances a revision should have, if it were alone.
pub(super) struct Wish {
    pub(super) wanted: u32,
    pub(super) reasons: Vec<Reason>,
}

/// One revision's share.
struct Share<'a> {
    id: &'a RevisionId,
    load: &'a RevisionLoad,
    wish: Wish,
    given: u32,
    reclaimed: u32,
}

impl Share<'_> {
    fn supply(&self) -> u32 {
        self.load.ready.saturating_add(self.load.starting)
    }

    fn lacks(&self) -> bool {
        self.given < self.wish.wanted
    }

    /// What is given in any case: whether there is a place for it, the resource layer must say.
    fn due(&self) -> u32 {
        let first = u32::from(self.load.queued > 0 && self.load.max > 0);
        first.max(self.load.min).min(self.wish.wanted)
    }

    fn decision(mut self) -> Option<ScaleDecision> {
        if self.given.saturating_add(self.reclaimed) < self.wish.wanted {
            let limited = LIMITED.with("wanted", self.wish.wanted);
            self.wish.reasons.push(limited.with("given", self.given));
        }
        if self.reclaimed > 0 {
            let reclaimed = RECLAIMED.with("count", self.reclaimed);
            self.wish.reasons.push(reclaimed);
        }
        super::change(self.id, self.load, self.given, self.wish.reasons)
    }
}

/// What the limit leaves.
struct Room<'a> {
    limit: &'a Resources,
    used: Resources,
    /// The idle instances of all revisions, the longest idle last.
    idle: Vec<Idle>,
}

/// Since when an instance is idle, which one, and whose share it is of.
type Idle = (Monotonic, InstanceId, usize);

/// The decisions for these wishes within the fleet's limit.
///
/// What is there and wanted stays. What is missing is given in turn, one instance at a time, to
/// those first that have none. Where an invocation waits and there is no room, an instance goes that
/// is idle elsewhere, the longest idle first.
pub(super) fn decide(fleet: &Fleet, wishes: BTreeMap<&RevisionId, Wish>) -> Vec<ScaleDecision> {
    let shares = wishes.into_iter().filter_map(|(id, wish)| {
        let load = fleet.revisions.get(id)?;
        Some(Share {
            given: wish.wanted,
            id,
            load,
            wish,
            reclaimed: 0,
        })
    });
    let mut shares: Vec<_> = shares.collect();
    if let Some(limit) = &fleet.limit {
        share_out(limit, &mut shares);
    }
    shares.into_iter().filter_map(Share::decision).collect()
}

fn share_out(limit: &Resources, shares: &mut [Share<'_>]) {
    let mut room = Room {
        limit,
        used: Resources::default(),
        idle: Vec::new(),
    };
    for (index, share) in shares.iter_mut().enumerate() {
        share.given = share.wish.wanted.min(share.supply());
        let kept = times(&share.load.resources, share.given);
        room.used = std::mem::take(&mut room.used).plus(&kept);
        let idle = share.load.idle.iter();
        room.idle
            .extend(idle.map(|(id, since)| (*since, *id, index)));
    }
    room.idle.sort_unstable_by(|a, b| b.cmp(a));
    while !room.limit.covers(&room.used) && room.reclaim(shares).is_some() {}
    for index in 0..shares.len() {
        while shares[index].given < shares[index].due() {
            let resources = &shares[index].load.resources;
            if !room.fits(resources) {
                room.make(resources, shares);
            }
            room.give(index, shares);
        }
    }
    let mut given = true;
    while given {
        given = false;
        for index in 0..shares.len() {
            given |= shares[index].lacks() && room.offer(index, shares);
        }
    }
}

fn times(resources: &Resources, count: u32) -> Resources {
    let mut all = resources.clone();
    all.cpu.0 = all.cpu.0.saturating_mul(count.into());
    all.memory.0 = all.memory.0.saturating_mul(count.into());
    for amount in all.extended.values_mut() {
        *amount = amount.saturating_mul(count.into());
    }
    all
}

impl Room<'_> {
    fn fits(&self, resources: &Resources) -> bool {
        self.limit.covers(&self.used.clone().plus(resources))
    }

    /// Gives one, whether there is room or not.
    fn give(&mut self, index: usize, shares: &mut [Share<'_>]) {
        self.used = std::mem::take(&mut self.used).plus(&shares[index].load.resources);
        shares[index].given += 1;
    }

    /// Gives one if there is room, or can be made for what waits.
    fn offer(&mut self, index: usize, shares: &mut [Share<'_>]) -> bool {
        let waits = shares[index].load.queued > 0;
        let resources = &shares[index].load.resources;
        let fits = self.fits(resources) || (waits && self.make(resources, shares));
        if fits {
            self.give(index, shares);
        }
        fits
    }

    /// Makes room for so much, or takes nothing.
    fn make(&mut self, resources: &Resources, shares: &mut [Share<'_>]) -> bool {
        let mut taken = Vec::new();
        while !self.fits(resources) {
            let Some(one) = self.reclaim(shares) else {
                for one in taken.into_iter().rev() {
                    self.restore(one, shares);
                }
                return false;
            };
            taken.push(one);
        }
        // A large one may have made the small ones before it needless.
        for one in taken {
            let back = &shares[one.2].load.resources;
            if self.fits(&resources.clone().plus(back)) {
                self.restore(one, shares);
            }
        }
        true
    }

    /// Takes the instance that is idle for longest from a revision that can spare it.
    fn reclaim(&mut self, shares: &mut [Share<'_>]) -> Option<Idle> {
        while let Some(one) = self.idle.pop() {
            let share = &mut shares[one.2];
            let idle = u32::try_from(share.load.idle.len()).unwrap_or(u32::MAX);
            // Those that go by its own wish are its idle ones, too.
            let going = share.supply().saturating_sub(share.given);
            if share.load.queued == 0 && share.given > share.load.min && going < idle {
                share.given -= 1;
                share.reclaimed += 1;
                self.used = std::mem::take(&mut self.used).minus(&share.load.resources);
                return Some(one);
            }
        }
        None
    }

    fn restore(&mut self, one: Idle, shares: &mut [Share<'_>]) {
        let share = &mut shares[one.2];
        share.given += 1;
        share.reclaimed -= 1;
        self.used = std::mem::take(&mut self.used).plus(&share.load.resources);
        self.idle.push(one);
    }
}

#[cfg(test)]
mod tests;
