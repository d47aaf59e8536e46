//! The main job, end to end: real processes on free ports.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

mod api_doc;
mod clock;
mod commands;
mod crash;
mod curl;
mod evidence;
mod limits;
mod links;
mod memory;
mod queue;
mod queue_failures;
mod rates;
mod readme;
mod reload;
mod restart;
mod routes;
mod rules;
mod runs;
mod share;
mod site;
mod stall;
mod sticky;
mod strategies;
mod websockets;
