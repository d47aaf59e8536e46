//! The registry in this process, spoken to over real sockets. One file per group of calls.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod harness;
mod ports;
mod raw;

mod abuse;
mod crashes;
mod given_up;
mod instances;
mod leases;
mod limits;
mod linear;
mod links;
mod order;
mod refusals;
mod services;
mod slow;
mod stall;
mod verify;
mod waiting;
mod watch;
