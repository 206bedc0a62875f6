//! [`PostgresStoreBuilder`]: how a store is set up and opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::store::Durability;
use faas_core::{ByteSize, Clock, Error, Result, TokioClock};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, NoTls, Socket};

use crate::error::postgres;
use crate::pools::Pools;
use crate::queue::Bounds;
use crate::schema;
use crate::store::{LIMITS, PostgresStore};

const OPEN: &str = "open PostgreSQL store";

/// Sets up a [`PostgresStore`].
#[derive(Clone)]
#[must_use]
pub struct PostgresStoreBuilder {
    url: String,
    pub(crate) schema: String,
    pub(crate) lanes: usize,
    readers: usize,
    pub(crate) queue: Bounds,
    pub(crate) kept: Bounds,
    patience: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Without the URL, which may hold a password.
impl fmt::Debug for PostgresStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStoreBuilder")
            .field("schema", &self.schema)
            .field("lanes", &self.lanes)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

impl PostgresStoreBuilder {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: "faas".into(),
            lanes: 4,
            readers: 8,
            queue: Bounds::new(65_536, ByteSize::mib(256)),
            kept: Bounds::new(65_536, ByteSize::mib(64)),
            patience: Duration::from_secs(30),
            clock: Arc::new(TokioClock::new()),
        }
    }

    /// The schema that holds the tables; `faas` unless said otherwise. Stores in different schemas
    /// have nothing to do with each other.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// How many groups are committed at once, each on a connection of its own; four unless said
    /// otherwise.
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.lanes = lanes;
        self
    }

    /// How many reads run at once, each on a connection of its own; eight unless said otherwise.
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers;
        self
    }

    /// How many commits, and how many bytes of them, may wait for the server; more are refused
    /// with `Exhausted`. 65,536 and 256 MiB unless said otherwise.
    pub fn queue(mut self, commits: usize, bytes: ByteSize) -> Self {
        self.queue = Bounds::new(commits, bytes);
        self
    }

    /// How many changes of each watched space, and how many bytes of them, are kept for watches
    /// that come late, and a while longer. 65,536 and 64 MiB unless said otherwise.
    pub fn kept_changes(mut self, changes: usize, bytes: ByteSize) -> Self {
        self.kept = Bounds::new(changes, bytes);
        self
    }

    /// How long the server may take to answer, and a transaction to wait for another one; 30
    /// seconds unless said otherwise. A commit that takes longer is in doubt.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The clock by which the server is late, and which is held while it works.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The connections' configuration; every fault at once.
    fn check(&self) -> Result<Config> {
        let mut faults = Vec::new();
        let config = self.url.parse::<Config>();
        if let Err(error) = &config {
            faults.push(format!("the URL: {error}"));
        }
        let mut fault = |wrong: bool, what: &str| {
            if wrong {
                faults.push(what.to_owned());
            }
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let first = self.schema.chars().next();
        fault(
            !self.schema.chars().all(plain)
                || self.schema.len() > 40
                || first.is_none_or(|c| c.is_ascii_digit())
                || self.schema.starts_with("pg_"),
            "the schema is not a name of at most 40 of a-z, 0-9 and _",
        );
        let count = |count: usize| (1..=1024).contains(&count);
        fault(!count(self.lanes), "the lanes are not between 1 and 1024");
        fault(
            !count(self.readers),
            "the readers are not between 1 and 1024",
        );
        fault(self.queue.items == 0, "the queue holds no commit");
        fault(
            self.queue.bytes < LIMITS.batch_bytes,
            "the queue holds less than one batch may have (16 MiB)",
        );
        fault(self.kept.items == 0, "no change is kept");
        fault(self.kept.bytes == 0, "no byte of changes is kept");
        fault(
            !(Duration::from_millis(10)..=Duration::from_secs(600)).contains(&self.patience),
            "the patience is not between 10 milliseconds and 10 minutes",
        );
        Error::check(OPEN, faults)?;
        let mut config = config.map_err(|error| postgres(OPEN, error))?;
        // A transaction whose client is gone, or that waits for another one, ends before those
        // who wait for it lose their patience.
        let patience = self.patience.as_millis();
        let (idle, lock) = (patience / 4, patience / 2);
        // What the caller's own options say of these is overruled: the contract rests on them.
        let options = format!(
            "{} -c search_path={} -c synchronous_commit=on \
             -c default_transaction_isolation=read\\ committed \
             -c lock_timeout={lock} -c statement_timeout={patience} \
             -c idle_in_transaction_session_timeout={idle}",
            config.get_options().unwrap_or_default(),
            self.schema
        );
        config
            .options(options.trim())
            .connect_timeout(self.patience)
            .tcp_user_timeout(self.patience)
            .keepalives_idle(Duration::from_secs(10));
        if config.get_application_name().is_none() {
            config.application_name("faas");
        }
        Ok(config)
    }

    /// Connects without TLS, and makes the schema or brings it to the present version.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault of the options; `Unsupported` if a later release made
    /// the schema; `PermissionDenied` if the server does; `Unavailable` if it is not there.
    pub async fn open(self) -> Result<PostgresStore> {
        self.open_with(NoTls).await
    }

    /// As [`open`](Self::open), with TLS as `tls` makes it (`tokio-postgres-rustls`, say).
    ///
    /// # Errors
    /// As those of [`open`](Self::open).
    pub async fn open_with<T>(self, tls: T) -> Result<PostgresStore>
    where
        T: MakeTlsConnect<Socket> + Clone + Sync + Send + 'static,
        T::Stream: Sync + Send,
        T::TlsConnect: Sync + Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let config = self.check()?;
        let _hold = self.clock.hold();
        let sizes = [self.readers, self.lanes];
        let pools = Pools::new(&config, tls, sizes, self.clock.clone(), self.patience)?;
        let mut client = pools.writer(OPEN).await?;
        let prepared = async {
            schema::migrate(&mut client, &self.schema, schema::MIGRATIONS).await?;
            durability(&client).await
        };
        let durability = pools.within(OPEN, prepared).await??;
        drop(client);
        Ok(PostgresStore::start(self, pools, durability))
    }
}

/// What this server's acknowledgement is worth.
async fn durability(client: &Client) -> Result<Durability> {
    let row = client
        .query_one(
            "SELECT current_setting('fsync'), current_setting('synchronous_standby_names')",
            &[],
        )
        .await
        .map_err(|error| postgres(OPEN, error))?;
    let (fsync, standbys): (&str, &str) = (row.get(0), row.get(1));
    Ok(match (fsync, standbys) {
        ("off", _) => Durability::Process,
        (_, "") => Durability::Disk,
        _ => Durability::Replicated,
    })
}
