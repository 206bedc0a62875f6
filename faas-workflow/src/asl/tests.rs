//! Executions without an engine.

mod drive;
mod hostile;
mod properties;
mod report;
mod runs;
