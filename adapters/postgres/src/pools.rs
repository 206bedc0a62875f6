//! Connections: some for reads, one for each lane, one that listens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use faas_core::{Clock, Error, Result};
use futures::future::{BoxFuture, Either, select};
use futures::stream::{self, BoxStream, StreamExt};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Row, Socket};

use crate::error;

/// What the server says by itself.
pub(crate) type Messages = BoxStream<'static, Result<AsyncMessage, tokio_postgres::Error>>;
/// Makes a connection outside of the pools.
type Connect =
    dyn Fn() -> BoxFuture<'static, Result<(Client, Messages), tokio_postgres::Error>> + Send + Sync;

/// All connections of a store.
#[derive(Clone)]
pub(crate) struct Pools {
    readers: Pool,
    writers: Pool,
    connect: Arc<Connect>,
    clock: Arc<dyn Clock>,
    patience: Duration,
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools")
            .field("readers", &self.readers.status())
            .field("writers", &self.writers.status())
            .finish_non_exhaustive()
    }
}

impl Pools {
    pub(crate) fn new<T>(
        config: &Config,
        tls: T,
        sizes: [usize; 2],
        clock: Arc<dyn Clock>,
        patience: Duration,
    ) -> Result<Self>
    where
        T: MakeTlsConnect<Socket> + Clone + Sync + Send + 'static,
        T::Stream: Sync + Send,
        T::TlsConnect: Sync + Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let pool = |size| {
            let manager = ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            };
            let manager = Manager::from_config(config.clone(), tls.clone(), manager);
            let pool = Pool::builder(manager).max_size(size).build();
            pool.map_err(|error| {
                Error::internal("open PostgreSQL store", error.to_string()).with_source(error)
            })
        };
        let [readers, writers] = sizes;
        let (readers, writers) = (pool(readers)?, pool(writers)?);
        let config = config.clone();
        Ok(Self {
            readers,
            writers,
            connect: Arc::new(move || {
                let (config, tls) = (config.clone(), tls.clone());
                Box::pin(async move {
                    let (client, mut connection) = config.connect(tls).await?;
                    let messages = stream::poll_fn(move |cx| connection.poll_message(cx));
                    Ok((client, messages.boxed()))
                })
            }),
            clock,
            patience,
        })
    }

    /// What `future` comes to, or an error when the server does not answer in time.
    pub(crate) async fn within<T>(
        &self,
        operation: &'static str,
        future: impl Future<Output = T>,
    ) -> Result<T> {
        let late = self.clock.sleep_until(self.clock.now() + self.patience);
        match select(std::pin::pin!(future), late).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => Err(error::late(operation)),
        }
    }

    /// Ends after `duration`.
    pub(crate) fn pause(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(self.clock.now() + duration)
    }

    /// A connection that commits.
    pub(crate) async fn writer(&self, operation: &'static str) -> Result<Object> {
        let got = self.within(operation, self.writers.get()).await?;
        got.map_err(|error| error::pool(operation, error))
    }

    /// A connection of one's own, and what the server says on it.
    pub(crate) async fn connect(&self) -> Result<(Client, Messages)> {
        let connected = self.within("connect", (self.connect)()).await?;
        connected.map_err(|error| error::postgres("connect", error))
    }

    /// Runs one statement by itself, which may run twice: again on another connection if the
    /// first one was cut, as those in a pool are after a restart of the server.
    pub(crate) async fn query(
        &self,
        operation: &'static str,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        let _hold = self.clock.hold();
        let mut tried = false;
        loop {
            let client = self.within(operation, self.readers.get()).await?;
            let client = client.map_err(|error| error::pool(operation, error))?;
            let work = async {
                let statement = client.prepare_cached(statement).await?;
                client.query(&statement, parameters).await
            };
            match self.within(operation, work).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) if error::is_refusal(&error) || tried => {
                    return Err(error::postgres(operation, error));
                }
                Ok(Err(_)) => drop(Object::take(client)),
                Err(late) => {
                    // Its answer may still come; nobody else must get it.
                    drop(Object::take(client));
                    return Err(late);
                }
            }
            tried = true;
        }
    }

    pub(crate) fn close(&self) {
        self.readers.close();
        self.writers.close();
    }
}
