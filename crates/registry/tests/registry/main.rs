//! The registry in this process, spoken to over real sockets. One file per group of calls.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod harness;
mod instances;
mod leases;
mod limits;
mod order;
mod refusals;
mod services;
mod watch;
