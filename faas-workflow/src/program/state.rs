//! [`ProgramState`]: a program's state, its type erased.

use std::any::Any;
use std::fmt;

use faas_core::Result;

use super::Command;
use crate::history::HistoryRecord;

/// A program's state; its type is known to the program alone.
pub struct ProgramState(Box<dyn Any + Send>);

impl ProgramState {
    /// Erases the type of `state`.
    pub fn new<S: Any + Send>(state: S) -> Self {
        Self(Box::new(state))
    }

    /// The state again.
    ///
    /// # Errors
    /// `Internal` if it is of another type: it belongs to another program.
    pub fn into_inner<S: Any + Send>(self) -> Result<S> {
        let wrong = |_| faas_core::Error::internal("step", "the state is another program's");
        self.0.downcast().map(|state| *state).map_err(wrong)
    }

    /// The state, looked at.
    pub fn get<S: Any + Send>(&self) -> Option<&S> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for ProgramState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgramState")
    }
}

/// What a program makes of an event.
#[derive(Debug)]
pub struct Transition {
    /// The state from now on.
    pub state: ProgramState,
    /// What to do, in order.
    pub commands: Vec<Command>,
    /// What the public history says; numbered by the program.
    pub records: Vec<HistoryRecord>,
}
