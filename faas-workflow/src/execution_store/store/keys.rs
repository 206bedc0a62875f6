//! Where what lies.
//!
//! | key | value |
//! |---|---|
//! | `h` execution | head |
//! | `t` execution number | transition |
//! | `s` execution | last snapshot |
//! | `n` namespace name | id |
//! | `i` status execution | nothing |
//! | `w` time execution timer | nothing |
//! | `e` epoch | nothing: the fence |
//! | `r` epoch | how often renewed |
//! | `l` | the last epoch |

use faas_core::store::{Key, Space};
use faas_core::{Error, ExecutionId, Namespace, Result};
use jiff::Timestamp;

use crate::execution_store::{DueTimer, Epoch, ExecutionName, ExecutionStatus, TransitionNumber};
use crate::program::TimerNumber;

/// Nothing here needs an order across keys.
pub(super) const EXECUTIONS: Space = Space::unwatched("workflow-executions");

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

pub(super) fn timers() -> Key {
    Key::new("w")
}

/// Times before 1970 sort as 1970.
fn time(at: Timestamp) -> u64 {
    u64::try_from(at.as_microsecond()).unwrap_or(0)
}

pub(super) fn timer(at: Timestamp, id: ExecutionId, timer: TimerNumber) -> Key {
    timers()
        .number(time(at))
        .child(id.to_string())
        .number(timer.0)
}

/// Behind all timers that are due at `at`.
pub(super) fn timers_behind(at: Timestamp) -> Key {
    timers().number(time(at).saturating_add(1))
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

pub(super) fn parse_timer(key: &Key) -> Result<DueTimer> {
    let parts: Vec<_> = key.parts().collect();
    let [_, at, id, timer] = parts.as_slice() else {
        return Err(broken());
    };
    Ok(DueTimer {
        execution: parse(id)?,
        timer: TimerNumber(parse(timer)?),
        at: Timestamp::from_microsecond(parse(at)?).map_err(|_| broken())?,
    })
}
