//! The data path. A request's walk, in the order of the files: [`worker`] accepts, [`connection`] reads heads,
//! [`exchange`] tells one request, [`attempt`] finds an endpoint that answers, [`answer_head`] reads what it says,
//! [`pool`] keeps its connection, [`relay`] moves the bodies and [`tunnel`] what comes after an upgrade, [`record`]
//! notes the ending. [`shared`] is what all connections of a worker share, [`tally`] what it counts between two ticks; [`client`], [`request`] with
//! its [`upload`], and [`answer`] are what an exchange works on; [`limited`] is told by [`per_client`] who has too much,
//! and [`waiting`] waits where a backend has; [`stream`], [`outlet`] and [`splice`] move bytes.

pub use crate::routing::{ProxySettings, Timeouts};

pub(crate) mod listener;
pub(crate) mod worker;

mod connection;

mod exchange;

mod attempt;

mod pool;

mod relay;

mod tunnel;

mod record;

mod answer;
mod answer_head;
mod asking;
mod buffers;
mod candidates;
mod chosen;
mod client;
mod connect;
mod deadlines;
mod doubt;
mod failure;
mod limited;
mod outlet;
mod own;
mod past;
mod per_client;
mod reply;
mod request;
mod shared;
mod splice;
mod stream;
mod tally;
#[cfg(test)]
mod tests;
mod tries;
mod upload;
mod view;
mod waiting;

pub(crate) use deadlines::TICK;
pub(crate) use per_client::Clients;
