//! The command `registry`, as a person runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod ask;
mod keep;
mod listen;
mod process;
