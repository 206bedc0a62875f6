//! The resource layer.
