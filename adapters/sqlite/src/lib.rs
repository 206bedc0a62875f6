//! A durable [`Store`](faas_core::Store) in one file, and no server to run: [`SqliteStore`].
//!
//! | file | what |
//! |---|---|
//! | `config` | [`SqliteStoreBuilder`]: options, opening |
//! | `schema` | the tables, their version, migrations |
//! | `file` | the file: lock, identity, what is damaged |
//! | `queue` | commits that wait for the writer, bounded |
//! | `writer` | the one thread that writes: group commit, in doubt, checkpoints |
//! | `writer/turn` | one transaction: each batch judged and applied by itself |
//! | `writer/upkeep` | what of changes and outcomes is kept |
//! | `readers` | connections for reads, which never wait for the writer |
//! | `reads` | `get`, `scan`, outcomes |
//! | `shared` | what writer and store share |
//! | `watch` | changes in order, pushed after the sync |
//! | `store` | the `Store` over all this |
//! | `maintenance` | backup, integrity, compaction |

mod config;
mod error;
mod file;
mod maintenance;
mod queue;
mod readers;
mod reads;
mod schema;
mod shared;
mod store;
mod watch;
mod writer;

pub use config::{Integrity, SqliteStoreBuilder, Synchronous};
pub use maintenance::Statistics;
pub use store::SqliteStore;
