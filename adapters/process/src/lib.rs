//! Adapters: process.
