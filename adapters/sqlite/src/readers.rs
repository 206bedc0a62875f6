//! Connections for reads, a fixed number of them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use faas_core::{Clock, Error, Result};
use rusqlite::{Connection, Row};
use tokio::sync::Semaphore;

use crate::error::Fault;
use crate::file::DatabaseFile;

/// What a read came to: SQLite's error, or the answer, or ours.
pub(crate) type Read<T> = rusqlite::Result<Result<T>>;

/// The reading side of a store.
#[derive(Debug)]
pub(crate) struct Readers {
    file: Arc<DatabaseFile>,
    clock: Arc<dyn Clock>,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    idle: Vec<Connection>,
    in_use: usize,
}

impl Readers {
    /// Opens them all: they stay readable when the file is removed.
    pub(crate) fn open(
        file: Arc<DatabaseFile>,
        clock: Arc<dyn Clock>,
        count: usize,
    ) -> Result<Self, Fault> {
        let idle = (0..count).map(|_| file.open_reader());
        let state = State {
            idle: idle.collect::<Result<_, _>>()?,
            ..State::default()
        };
        Ok(Self {
            file,
            clock,
            permits: Arc::new(Semaphore::new(count)),
            state: Mutex::new(state),
            returned: Condvar::new(),
        })
    }

    /// Runs `work` off the runtime. Dropping the future does not stop it, and its connection comes
    /// back all the same.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Read<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| self.closed(operation))?;
        let (readers, hold) = (self.clone(), self.clock.hold());
        let task = tokio::task::spawn_blocking(move || {
            let result = readers.with_connection(operation, work);
            drop((permit, hold));
            result
        });
        task.await
            .map_err(|error| Error::cancelled(operation, "the runtime ended").with_source(error))?
    }

    fn with_connection<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Read<T>,
    ) -> Result<T> {
        let connection = {
            let mut state = self.lock();
            // None is missing unless they are closed: permits count them.
            let idle = state.idle.pop();
            let connection = idle.ok_or_else(|| self.closed(operation))?;
            state.in_use += 1;
            connection
        };
        let lent = Lent {
            readers: self,
            connection: Some(connection),
        };
        let result = lent.connection.as_ref().map(work);
        let result = result.ok_or_else(|| self.closed(operation))?;
        result.map_err(|error| self.file.fault(error).into_error(operation))?
    }

    /// Closes every connection, once it is back.
    pub(crate) fn close(&self) {
        self.permits.close();
        let mut state = self.lock();
        state.closed = true;
        state.idle.clear();
        while state.in_use > 0 {
            state = self
                .returned
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn closed(&self, operation: &'static str) -> Error {
        let path = self.file.path().to_owned();
        Fault::Closed { path }.into_error(operation)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that comes back, whatever becomes of the work.
struct Lent<'r> {
    readers: &'r Readers,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.readers.lock();
        state.in_use -= 1;
        if !state.closed {
            state.idle.extend(self.connection.take());
        }
        // Closed before the lock is let go: whoever waits for it may rely on that.
        drop(self.connection.take());
        self.readers.returned.notify_all();
    }
}

/// A column of bytes.
pub(crate) fn blob(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    row.get::<_, Vec<u8>>(column).map(Bytes::from)
}
