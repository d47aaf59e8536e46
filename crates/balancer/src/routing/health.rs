//! How a backend's endpoints are looked at.

use std::ops::RangeInclusive;

use berth_fleet::Check;

/// How a backend's endpoints are looked at. What is equal here is one check, whichever backends ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Health {
    /// What they are asked.
    pub probe: ProbeKind,
    /// How often, and what counts. Without it they are asked only when there is a doubt.
    pub check: Option<Check>,
}

/// What an endpoint is asked, on a new connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// `HEAD /`; any status is an answer.
    #[default]
    Head,
    /// `GET` of a path.
    Get {
        /// The path, with its query if it has one.
        path: String,
        /// The Host; the endpoint's own name or address without it.
        host: Option<String>,
        /// The statuses of an endpoint that is well.
        expect: Vec<RangeInclusive<u16>>,
    },
    /// Nothing: that it accepts the connection is all that can be told of who does not speak HTTP.
    Connect,
}
