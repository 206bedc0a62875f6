//! Adapters: memory.
