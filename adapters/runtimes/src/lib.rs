//! Adapters: runtimes.
