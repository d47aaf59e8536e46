//! What a fleet believes, row by row of the evidence table.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checks;
mod choice;
mod failures;
mod groups;
mod probes;
mod remembered;
mod rows;
mod signals;
mod site;
mod sources;
mod told;
