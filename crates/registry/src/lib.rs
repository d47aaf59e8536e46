//! The service registry.
