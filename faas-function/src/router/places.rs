//! [`Places`]: how many invocations wait in all, and whose they are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faas_core::Namespace;
use hashbrown::HashMap;

/// A tenant may take places while it has fewer than so many times those that are free.
const SHARE: usize = 4;

/// The places of all queues together.
///
/// No tenant can take all of them: a tenant gets another one only while it holds fewer than four
/// times as many as are free. So one alone gets four fifths of them, two get four ninths each, and
/// some are always left for who comes next. These are the dynamic thresholds of A. K. Choudhury and
/// E. L. Hahne, *Dynamic Queue Length Thresholds for Shared-Memory Packet Switches* (1998).
pub(super) struct Places {
    bound: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<Namespace, usize>,
}

/// One place; dropping it frees it.
pub(super) struct Place {
    places: Arc<Places>,
    tenant: Namespace,
}

impl Places {
    pub(super) fn new(bound: usize) -> Arc<Self> {
        Arc::new(Self {
            bound,
            taken: Mutex::default(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a tenant, if there is one that it may have.
    pub(super) fn take(self: &Arc<Self>, tenant: &Namespace) -> Option<Place> {
        let mut taken = self.taken();
        let free = self.bound.saturating_sub(taken.all);
        let held = taken.by.get(tenant).copied().unwrap_or_default();
        if held >= free.saturating_mul(SHARE) {
            return None;
        }
        taken.all += 1;
        taken.by.insert(tenant.clone(), held + 1);
        Some(Place {
            places: self.clone(),
            tenant: tenant.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        let Some(held) = taken.by.get_mut(&self.tenant) else {
            return;
        };
        *held -= 1;
        if *held == 0 {
            taken.by.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Namespace {
        Namespace::new(name).unwrap()
    }

    #[test]
    fn no_tenant_takes_all_places_and_what_is_freed_can_be_had_again() {
        let places = Places::new(10);
        let all = |name| std::iter::from_fn(|| places.take(&tenant(name))).collect::<Vec<_>>();
        let (many, others) = (all("a"), all("b"));
        assert_eq!((many.len(), others.len()), (8, 2));
        assert_eq!(all("c").len(), 0);
        drop(many);
        assert_eq!(all("c").len(), 7);
        drop(others);
        assert_eq!(places.taken().all, 0);
        assert!(places.taken().by.is_empty());
    }

    #[test]
    fn a_single_place_can_be_had() {
        let places = Places::new(1);
        let place = places.take(&tenant("a"));
        assert!(place.is_some() && places.take(&tenant("b")).is_none());
    }
}
