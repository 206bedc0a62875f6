//! What a group does, decided in memory from what the database holds.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use faas_core::Result;
use faas_core::store::batch::Effect;
use faas_core::store::{Batch, BatchId, Committed, Key, Revision, Version};

/// A space's id and a key in it.
pub(super) type Place = (i32, Key);

/// What the database holds under the locks of the group.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The ids of the spaces, by name.
    pub(super) spaces: HashMap<String, i32>,
    /// The last revision of each watched space that the group may change.
    pub(super) revisions: HashMap<i32, u64>,
    /// Entries that the group touches; the value only where a precondition asks for it.
    pub(super) entries: HashMap<Place, (Version, Bytes)>,
    /// One number for each batch.
    pub(super) numbers: Vec<u64>,
}

/// One line of the change log.
#[derive(Debug, PartialEq)]
pub(super) struct Logged {
    pub(super) place: Place,
    pub(super) revision: u64,
    pub(super) position: i32,
    pub(super) value: Option<(Version, Bytes)>,
}

/// What came of a batch that happened.
#[derive(Debug, PartialEq)]
pub(super) struct Happened {
    pub(super) id: BatchId,
    pub(super) number: u64,
    pub(super) committed: Committed,
}

/// What the group comes to.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// What each place holds in the end; `None` if nothing.
    pub(super) entries: BTreeMap<Place, Option<(Version, Bytes)>>,
    pub(super) changes: Vec<Logged>,
    /// The last revision of each space that was changed, by its name.
    pub(super) revisions: BTreeMap<String, (i32, u64)>,
    pub(super) happened: Vec<Happened>,
}

/// Judges the batches one after the other, each on what those before it left.
pub(super) fn judge<'b>(
    mut held: Held,
    batches: impl Iterator<Item = &'b Batch>,
) -> (Vec<Result<Committed>>, Writes) {
    let mut writes = Writes::default();
    let numbers = std::mem::take(&mut held.numbers);
    let verdicts = batches
        .zip(numbers)
        .map(|(batch, number)| {
            check(&held, batch)?;
            let committed = apply(&mut held, &mut writes, batch, number);
            writes.happened.push(Happened {
                id: batch.id(),
                number,
                committed: committed.clone(),
            });
            Ok(committed)
        })
        .collect();
    (verdicts, writes)
}

impl Held {
    /// Every space of the group was made before it began.
    fn place(&self, operation: &faas_core::store::Operation) -> Place {
        let id = self.spaces.get(operation.space.name()).copied();
        (id.unwrap_or_default(), operation.key.clone())
    }
}

fn check(held: &Held, batch: &Batch) -> Result<()> {
    for operation in batch.operations() {
        let entry = held.entries.get(&held.place(operation));
        let seen = entry.map(|(version, value)| (value, *version));
        if !operation.precondition.holds(seen) {
            return Err(operation.conflict(entry.is_some()));
        }
    }
    Ok(())
}

fn apply(held: &mut Held, writes: &mut Writes, batch: &Batch, number: u64) -> Committed {
    let mut committed = Committed::default();
    for (position, operation) in batch.operations().iter().enumerate() {
        let place = held.place(operation);
        let value = match &operation.effect {
            Effect::Put(value) => Some((Version(number), value.clone())),
            Effect::Delete if held.entries.contains_key(&place) => None,
            _ => {
                committed.versions.push(None);
                continue;
            }
        };
        committed
            .versions
            .push(value.as_ref().map(|(version, _)| *version));
        match &value {
            Some(value) => held.entries.insert(place.clone(), value.clone()),
            None => held.entries.remove(&place),
        };
        let space = &operation.space;
        if space.is_watched() {
            let revision = committed.revision(space).unwrap_or_else(|| {
                let last = held.revisions.entry(place.0).or_default();
                *last += 1;
                let raised = (place.0, *last);
                writes.revisions.insert(space.name().to_owned(), raised);
                committed.revisions.push((space.clone(), Revision(*last)));
                Revision(*last)
            });
            writes.changes.push(Logged {
                place: place.clone(),
                revision: revision.0,
                position: position as i32,
                value: value.clone(),
            });
        }
        writes.entries.insert(place, value);
    }
    committed
}

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::ErrorKind;
    use faas_core::store::{Precondition, Space};

    const W: Space = Space::watched("w");

    fn held(numbers: &[u64]) -> Held {
        Held {
            spaces: HashMap::from([("w".into(), 1)]),
            revisions: HashMap::from([(1, 5)]),
            numbers: numbers.to_vec(),
            ..Held::default()
        }
    }

    #[test]
    fn each_batch_sees_what_those_before_it_left_and_refused_ones_leave_nothing() {
        let (a, b) = (Key::new("a"), Key::new("b"));
        let batches = [
            Batch::new().put(W, a.clone(), "1", Precondition::Absent),
            Batch::new().put(W, b.clone(), "x", Precondition::Any).put(
                W,
                a.clone(),
                "2",
                Precondition::Absent,
            ),
            Batch::new().put(W, a.clone(), "3", Precondition::At(Version(10))),
            Batch::new()
                .delete(W, a.clone(), Precondition::Value("3".into()))
                .delete(W, b.clone(), Precondition::Any),
        ];
        let (verdicts, writes) = judge(held(&[10, 11, 12, 13]), batches.iter());
        let kinds: Vec<_> = verdicts
            .iter()
            .map(|v| v.as_ref().err().map(|e| e.kind()))
            .collect();
        assert_eq!(kinds, [None, Some(ErrorKind::Conflict), None, None]);
        let revisions = verdicts.iter().flatten().map(|c| c.revision(&W));
        let revisions: Vec<_> = revisions.collect();
        assert_eq!(revisions, [6, 7, 8].map(|r| Some(Revision(r))));
        assert_eq!(writes.entries, BTreeMap::from([((1, a), None)]));
        assert_eq!(writes.revisions["w"], (1, 8));
        assert_eq!(writes.changes.len(), 3);
        let numbers: Vec<_> = writes.happened.iter().map(|h| h.number).collect();
        assert_eq!(numbers, [10, 12, 13]);
    }
}
