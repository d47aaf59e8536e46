//! The data path between scripted peers: the exact bytes that reach each side, and what happens when either side
//! does not do what it should.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

mod access_log;
mod admin;
mod bodies;
mod client_vanishes;
mod connections;
mod deadlines;
mod distrust;
mod errors;
mod framing;
mod harness;
mod http_1_0;
mod interim;
mod limits;
mod per_client;
mod pipes;
mod ports;
mod rate_limit;
mod rates;
mod refused;
mod reload;
mod resend;
mod retries;
mod round_robin;
mod routes;
mod secure;
mod shutdown;
mod splice;
mod tls;
mod tunnel;
mod unreachable;
mod upgrade;
mod upstream_breaks;
