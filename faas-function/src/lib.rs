//! The function layer.
