//! The workflow layer.
