//! A durable [`Store`](faas_core::Store) on PostgreSQL, for those who outgrow one machine:
//! [`PostgresStore`].
//!
//! | file | what |
//! |---|---|
//! | `config` | [`PostgresStoreBuilder`]: options, opening |
//! | `schema` | the tables, their version, migrations |
//! | `queue` | commits that wait, and which of them may go side by side |
//! | `queue/uses` | what batches touch |
//! | `lanes` | connections that commit, each a group at a time |
//! | `lanes/judge` | what a group does, decided in memory |
//! | `lanes/columns` | the same as columns of statements |
//! | `lanes/transaction` | locks, reads, writes, COMMIT: three round trips a group |
//! | `doubt` | what came of commits whose answer was lost |
//! | `pools` | connections |
//! | `reads` | `get`, `scan`, changes, outcomes: one statement each |
//! | `listener` | NOTIFY of other processes, and a look now and then |
//! | `watch` | changes in order |
//! | `upkeep` | what of changes and outcomes is kept |
//! | `store` | the `Store` over all this |

mod config;
mod doubt;
mod error;
mod lanes;
mod listener;
mod pools;
mod queue;
mod reads;
mod schema;
mod store;
mod upkeep;
mod watch;

pub use config::PostgresStoreBuilder;
pub use store::PostgresStore;
