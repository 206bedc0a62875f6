//! The conformance suite of [`Store`](super::Store).
