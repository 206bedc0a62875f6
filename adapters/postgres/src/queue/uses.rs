//! What batches touch, and whether one is in the way of another.

use std::collections::HashMap;

use faas_core::store::batch::Effect;
use faas_core::store::{Batch, Key, Space};

/// A key, or, without one, the order of a watched space.
type Touched = (Space, Option<Key>);

/// What a batch touches, and whether it changes it.
fn touched(batch: &Batch) -> impl Iterator<Item = (Touched, bool)> + '_ {
    batch.operations().iter().flat_map(|operation| {
        let writes = !matches!(operation.effect, Effect::Check);
        let space = &operation.space;
        let key = ((space.clone(), Some(operation.key.clone())), writes);
        let order = (writes && space.is_watched()).then(|| ((space.clone(), None), true));
        [Some(key), order].into_iter().flatten()
    })
}

/// Who uses what, so that others keep their distance.
#[derive(Debug, Default)]
pub(super) struct Uses(HashMap<Touched, (usize, usize)>);

impl Uses {
    pub(super) fn add(&mut self, batch: &Batch) {
        for (what, writes) in touched(batch) {
            let (readers, writers) = self.0.entry(what).or_default();
            *(if writes { writers } else { readers }) += 1;
        }
    }

    pub(super) fn remove(&mut self, batch: &Batch) {
        for (what, writes) in touched(batch) {
            if let Some((readers, writers)) = self.0.get_mut(&what) {
                *(if writes { &mut *writers } else { &mut *readers }) -= 1;
                if (*readers, *writers) == (0, 0) {
                    self.0.remove(&what);
                }
            }
        }
    }

    pub(super) fn is_in_the_way_of(&self, batch: &Batch) -> bool {
        touched(batch).any(|(what, writes)| {
            let used = self.0.get(&what);
            used.is_some_and(|(readers, writers)| *writers > 0 || writes && *readers > 0)
        })
    }
}
