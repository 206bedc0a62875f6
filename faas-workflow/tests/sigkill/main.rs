//! A process that runs executions over a durable store is killed at random points, again and again:
//! every execution ends as it would have, what was acknowledged is there, and no task whose result
//! was stored runs again.
//!
//! `FAAS_CRASH_EXECUTIONS` sets how many executions there are (600 by default).

#[cfg(test)]
mod child;
#[cfg(test)]
mod judge;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod work;

/// Names the directory that a child works in.
#[cfg(test)]
const DIRECTORY: &str = "FAAS_SIGKILL_DIRECTORY";
