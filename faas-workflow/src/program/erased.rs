//! [`TypedProgram`], and [`Erased`], which makes a [`Program`] of one.

use std::any::Any;
use std::fmt;

use bytes::Bytes;
use faas_core::encoding::{self, Stored};
use faas_core::{Error, Result};

use super::{
    Beginning, Command, Data, DefinitionDigest, Program, ProgramDiagram, ProgramEvent,
    ProgramQueries, ProgramState, Query, Transition,
};
use crate::history::HistoryRecord;

/// A [`Program`] whose state has a type; its contract is that of [`Program`].
pub trait TypedProgram: Send + Sync + fmt::Debug + 'static {
    /// The state.
    type State: Stored + Any + Send;
    /// Which definition this is.
    fn digest(&self) -> DefinitionDigest;
    /// The first transition.
    fn begin(&self, beginning: Beginning) -> (Self::State, Vec<Command>, Vec<HistoryRecord>);
    /// Changes the state by an event.
    fn step(
        &self,
        state: Self::State,
        event: ProgramEvent,
    ) -> (Self::State, Vec<Command>, Vec<HistoryRecord>);
    /// What it looks like, if it can be drawn.
    fn diagram(&self) -> Option<&dyn ProgramDiagram> {
        None
    }
    /// Answers a question from the state alone.
    ///
    /// # Errors
    /// `Unsupported` by default; `InvalidArgument` for one that it does not understand.
    fn query(&self, _: &Self::State, query: &Query) -> Result<Data> {
        let message = format!("the workflow answers no questions, also not {}", query.name);
        Err(Error::unsupported("query execution", message))
    }
}

/// A [`TypedProgram`] as a [`Program`].
#[derive(Debug, Clone)]
pub struct Erased<P>(pub P);

fn erase<S: Any + Send>(parts: (S, Vec<Command>, Vec<HistoryRecord>)) -> Transition {
    let (state, commands, records) = parts;
    Transition {
        state: ProgramState::new(state),
        commands,
        records,
    }
}

impl<P: TypedProgram> Program for Erased<P> {
    fn digest(&self) -> DefinitionDigest {
        self.0.digest()
    }

    fn begin(&self, beginning: Beginning) -> Result<Transition> {
        Ok(erase(self.0.begin(beginning)))
    }

    fn step(&self, state: ProgramState, event: ProgramEvent) -> Result<Transition> {
        Ok(erase(self.0.step(state.into_inner()?, event)))
    }

    fn save(&self, state: &ProgramState) -> Result<Bytes> {
        let wrong = || Error::internal("save program", "the state is another program's");
        encoding::encode(state.get::<P::State>().ok_or_else(wrong)?)
    }

    fn restore(&self, bytes: &[u8]) -> Result<ProgramState> {
        encoding::decode::<P::State>(bytes).map(ProgramState::new)
    }

    fn diagram(&self) -> Option<&dyn ProgramDiagram> {
        self.0.diagram()
    }

    fn queries(&self) -> Option<&dyn ProgramQueries> {
        Some(self)
    }
}

impl<P: TypedProgram> ProgramQueries for Erased<P> {
    fn answer(&self, state: &ProgramState, query: &Query) -> Result<Data> {
        let wrong = || Error::internal("query execution", "the state is another program's");
        self.0.query(state.get().ok_or_else(wrong)?, query)
    }
}
