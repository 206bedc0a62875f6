//! One transition as one batch.

use faas_core::Result;
use faas_core::encoding;
use faas_core::store::{Batch, Precondition};

use super::keys::{self, ENDINGS, EXECUTIONS as SPACE, MAIL, TimeIndex};
use super::stored::{StoredHead, StoredSnapshot, StoredTransition};
use crate::execution_store::{Append, ExecutionHead, Standing, TransitionNumber};

/// The append, and that of the execution that it goes on as, as a batch.
pub(super) fn batch(append: Append) -> Result<Batch> {
    let epoch = keys::epoch(append.head.epoch);
    let name = keys::name(&append.head.workflow.namespace, &append.head.name);
    let (first, before) = (is_first(&append.head), append.head.id);
    let mut batch = Batch::new().check(SPACE, epoch, Precondition::Present);
    let mut last = append.head.id;
    let mut next = Some(append);
    while let Some(mut append) = next {
        last = append.head.id;
        next = append.successor.take().map(|successor| *successor);
        batch = transition(batch, append)?;
    }
    let named = |id: faas_core::ExecutionId| id.to_string().into_bytes();
    Ok(match (first, last == before) {
        (true, _) => batch.put(SPACE, name, named(last), Precondition::Absent),
        (false, false) => {
            let was = Precondition::Value(named(before).into());
            batch.put(SPACE, name, named(last), was)
        }
        (false, true) => batch,
    })
}

fn is_first(head: &ExecutionHead) -> bool {
    head.transition == TransitionNumber(1)
}

fn transition(mut batch: Batch, append: Append) -> Result<Batch> {
    let head = append.head;
    let (id, number) = (head.id, head.transition);
    let condition = match is_first(&head) {
        true => Precondition::Absent,
        false => Precondition::Present,
    };
    let stored = StoredTransition {
        number,
        events: append.events,
        records: append.records,
    };
    if !is_first(&head) {
        let key = keys::transition(id, TransitionNumber(number.0.saturating_sub(1)));
        batch = batch.check(SPACE, key, Precondition::Present);
    }
    batch = indexes(batch, append.before, &head);
    let (key, value) = (keys::transition(id, number), encoding::encode(&stored)?);
    batch = batch.put(SPACE, key, value, Precondition::Absent);
    if let Some(at) = append.due_cleared {
        batch = batch.delete(SPACE, TimeIndex::Due.key(at, id), Precondition::Any);
    }
    if let Some(at) = append.due_set {
        batch = batch.put(SPACE, TimeIndex::Due.key(at, id), "", Precondition::Any);
    }
    if let Some(snapshot) = append.snapshot {
        let snapshot = encoding::encode(&StoredSnapshot::new(number, &snapshot))?;
        batch = batch.put(SPACE, keys::snapshot(id), snapshot, Precondition::Any);
    }
    for letter in append.letters {
        // Only what is there can be taken: so nothing is told twice.
        batch = batch.delete(MAIL, keys::letter(id, letter), Precondition::Present);
    }
    let value = encoding::encode(&StoredHead(head))?;
    Ok(batch.put(SPACE, keys::head(id), value, condition))
}

/// The indexes follow how the execution stands.
fn indexes(mut batch: Batch, before: Option<Standing>, head: &ExecutionHead) -> Batch {
    let (id, after) = (head.id, head.standing());
    let owner = |standing: &Standing| {
        let open = !standing.status.is_ended();
        open.then(|| keys::owned(standing.epoch, id))
    };
    let change = |batch: Batch, before: Option<faas_core::store::Key>, after| {
        if before == after {
            return batch;
        }
        let batch = match before {
            Some(key) => batch.delete(SPACE, key, Precondition::Any),
            None => batch,
        };
        match after {
            Some(key) => batch.put(SPACE, key, "", Precondition::Any),
            None => batch,
        }
    };
    let status = |standing: &Standing| Some(keys::by_status(standing.status, id));
    batch = change(batch, before.as_ref().and_then(status), status(&after));
    batch = change(batch, before.as_ref().and_then(owner), owner(&after));
    let expiry = |standing: &Standing| {
        let at = standing.expires?;
        Some(TimeIndex::Expiry.key(at, id))
    };
    batch = change(batch, before.as_ref().and_then(expiry), expiry(&after));
    let ended = before.is_some_and(|before| before.status.is_ended());
    match (ended, after.status.is_ended()) {
        (false, true) => batch.put(ENDINGS, keys::ending(id), "", Precondition::Any),
        (true, false) => batch.delete(ENDINGS, keys::ending(id), Precondition::Any),
        _ => batch,
    }
}
