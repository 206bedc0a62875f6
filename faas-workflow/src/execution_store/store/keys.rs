//! Where what lies.
//!
//! | key | value |
//! |---|---|
//! | `h` execution | head |
//! | `t` execution number | transition |
//! | `s` execution | last snapshot |
//! | `n` namespace name | id |
//! | `i` status execution | nothing |
//! | `o` epoch execution | nothing: it goes on, and is that epoch's |
//! | `w` time execution | nothing: something of it is due |
//! | `x` time execution | nothing: it may be deleted |
//! | `e` epoch | nothing: the fence |
//! | `r` epoch | how often renewed |
//! | `l` | the last epoch |
//!
//! And in watched spaces: execution → nothing, when it has ended; execution letter → the letter.

use faas_core::store::{Key, Space};
use faas_core::{Error, ExecutionId, Namespace, Result};
use jiff::Timestamp;

use crate::execution_store::mailbox::LetterId;
use crate::execution_store::{
    DueExecution, Epoch, ExecutionName, ExecutionStatus, TransitionNumber,
};

/// Nothing here needs an order across keys.
pub(super) const EXECUTIONS: Space = Space::unwatched("workflow-executions");
/// That executions have ended, for those who wait for it.
pub(super) const ENDINGS: Space = Space::watched("workflow-endings");

/// Letters from engine to engine.
pub(super) const MAIL: Space = Space::watched("workflow-mail");

pub(super) fn all_letters() -> Key {
    Key::new("m")
}

pub(super) fn letters(id: ExecutionId) -> Key {
    all_letters().child(id.to_string())
}

pub(super) fn letter(id: ExecutionId, letter: LetterId) -> Key {
    letters(id).child(letter.to_string())
}

pub(super) fn parse_letter(key: &Key) -> Result<(ExecutionId, LetterId)> {
    let parts: Vec<_> = key.parts().collect();
    match parts.as_slice() {
        [_, id, letter] => Ok((parse(id)?, parse(letter)?)),
        _ => Err(broken()),
    }
}

pub(super) fn head(id: ExecutionId) -> Key {
    Key::new("h").child(id.to_string())
}

pub(super) fn transitions(id: ExecutionId) -> Key {
    Key::new("t").child(id.to_string())
}

pub(super) fn transition(id: ExecutionId, number: TransitionNumber) -> Key {
    transitions(id).number(number.0)
}

pub(super) fn snapshot(id: ExecutionId) -> Key {
    Key::new("s").child(id.to_string())
}

pub(super) fn name(namespace: &Namespace, name: &ExecutionName) -> Key {
    Key::new("n").child(namespace.as_str()).child(name.as_str())
}

pub(super) fn statuses(status: ExecutionStatus) -> Key {
    Key::new("i").child(status.label())
}

pub(super) fn by_status(status: ExecutionStatus, id: ExecutionId) -> Key {
    statuses(status).child(id.to_string())
}

pub(super) fn owners() -> Key {
    Key::new("o")
}

pub(super) fn owned_by(epoch: Epoch) -> Key {
    owners().number(epoch.0)
}

pub(super) fn owned(epoch: Epoch, id: ExecutionId) -> Key {
    owned_by(epoch).child(id.to_string())
}

/// The owner that a key of [`owned`] names.
pub(super) fn owner(key: &Key) -> Result<Epoch> {
    let number = key.parts().nth(1).ok_or_else(broken)?;
    parse(number).map(Epoch)
}

pub(super) fn ending(id: ExecutionId) -> Key {
    Key::new(id.to_string())
}

/// Times before 1970 sort as 1970.
fn time(at: Timestamp) -> u64 {
    u64::try_from(at.as_microsecond()).unwrap_or(0)
}

/// An index of executions by time.
#[derive(Clone, Copy)]
pub(super) enum TimeIndex {
    /// When something of them is due.
    Due,
    /// When they may be deleted.
    Expiry,
}

impl TimeIndex {
    pub(super) fn all(self) -> Key {
        Key::new(match self {
            Self::Due => "w",
            Self::Expiry => "x",
        })
    }

    pub(super) fn key(self, at: Timestamp, id: ExecutionId) -> Key {
        self.all().number(time(at)).child(id.to_string())
    }

    /// Behind all that lies not after `at`.
    pub(super) fn behind(self, at: Timestamp) -> Key {
        self.all().number(time(at).saturating_add(1))
    }

    pub(super) fn parse(key: &Key) -> Result<DueExecution> {
        let parts: Vec<_> = key.parts().collect();
        let [_, at, id] = parts.as_slice() else {
            return Err(broken());
        };
        Ok(DueExecution {
            execution: parse(id)?,
            at: Timestamp::from_microsecond(parse(at)?).map_err(|_| broken())?,
        })
    }
}

pub(super) fn epoch(epoch: Epoch) -> Key {
    epochs().number(epoch.0)
}

pub(super) fn epochs() -> Key {
    Key::new("e")
}

pub(super) fn renewals(epoch: Epoch) -> Key {
    Key::new("r").number(epoch.0)
}

pub(super) fn last_epoch() -> Key {
    Key::new("l")
}

fn broken() -> Error {
    Error::internal("read execution store", "a key or value has another form")
}

/// The text of a part or value as whatever it should be.
pub(super) fn parse<T: std::str::FromStr>(bytes: &[u8]) -> Result<T> {
    let text = std::str::from_utf8(bytes).map_err(|_| broken())?;
    text.parse().map_err(|_| broken())
}

/// The id that ends a key.
pub(super) fn last_id(key: &Key) -> Result<ExecutionId> {
    parse(key.parts().next_back().ok_or_else(broken)?)
}

/// The number that ends a key.
pub(super) fn last_number(key: &Key) -> Result<u64> {
    parse(key.parts().next_back().ok_or_else(broken)?)
}
