//! The load balancer that follows a registry.
