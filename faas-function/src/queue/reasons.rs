//! Why requests wait, are tried again, or are dead.

use faas_core::explain::Reason;

pub(super) const TAKEN: Reason = Reason::new(
    "queue.taken",
    "it was stored, to be run when one of the {concurrency} places of its function is free",
);
pub(super) const RETRY: Reason = Reason::new(
    "queue.retry",
    "attempt {attempt} of {attempts} failed ({error}): it is tried again in {pause}",
);
pub(super) const REFUSED: Reason = Reason::new(
    "queue.refused",
    "the platform could not run it ({error}): it is tried again in {pause}, and no attempt is counted",
);
pub(super) const DEAD: Reason = Reason::new(
    "queue.dead",
    "it failed for good and is a dead letter: {cause}",
)
.helped_by("mend the function and redrive the letter, or discard it");
pub(super) const FAILED: Reason = Reason::new(
    "queue.failed",
    "it failed for good and was handed to {destination}: {cause}",
);
pub(super) const HANDED: Reason = Reason::new(
    "queue.handed_on",
    "it succeeded, and its response was handed to {destination}",
);
pub(super) const REDRIVEN: Reason =
    Reason::new("queue.redriven", "somebody had the dead letter run again");
