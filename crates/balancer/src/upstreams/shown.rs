//! What is believed of all endpoints, to be shown.

use std::time::{Duration, SystemTime};

use berth_fleet::{Class, Probed, State};
use berth_model::{Identity, Scheme};
use jiff::Timestamp;
use serde::Serialize;

use super::Upstreams;
use super::evidence::outcome;

/// All endpoints at one moment: `GET /v1/endpoints`.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    /// The snapshot that workers go by, or are about to.
    generation: u64,
    endpoints: Vec<ShownEndpoint>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub(crate) struct ShownEndpoint {
    service: String,
    id: String,
    run: String,
    address: String,
    scheme: Scheme,
    /// The backends that it is in, by name.
    backends: Vec<String>,
    /// Those of them in which it is ejected: by a check of their own, or in all of them.
    ejected_in: Vec<String>,
    /// `confirmed`, `unconfirmed`, `ejected` or `draining`.
    state: &'static str,
    /// Why, in a word.
    reason: &'static str,
    /// Why, in a sentence.
    because: String,
    since: Timestamp,
    /// Whether something has raised a doubt that no probe has settled yet.
    doubted: bool,
    in_flight: u64,
    requests: u64,
    /// What traffic has met there that raises a doubt, ever.
    failures: u64,
    last_probe: Option<ShownProbe>,
}

/// A probe.
#[derive(Debug, Serialize)]
struct ShownProbe {
    at: Timestamp,
    /// `answered`, `unexpected`, `refused` or `unanswered`.
    outcome: &'static str,
    /// The status that it was answered with, if it was.
    status: Option<u16>,
}

/// The running clock, told by the one on the wall.
#[derive(Clone, Copy)]
struct Wall {
    running: Duration,
    wall: SystemTime,
}

impl Wall {
    /// When that was.
    fn at(self, running: Duration) -> Timestamp {
        let wall = self.wall.checked_sub(self.running.saturating_sub(running));
        let at = wall.and_then(|wall| Timestamp::try_from(wall).ok()).unwrap_or_default();
        // Nothing here is known to the nanosecond.
        at.round(jiff::Unit::Millisecond).unwrap_or(at)
    }
}

impl Upstreams {
    /// What is believed of everybody who is wanted, in the order of their identities.
    pub(super) fn show(&self) -> Shown {
        let wall = Wall { running: self.clock.now(), wall: SystemTime::now() };
        let mut identities: Vec<&Identity> = self.backends.wanted().collect();
        identities.sort_unstable();
        let endpoints = identities.into_iter().filter_map(|identity| self.show_one(identity, wall)).collect();
        Shown { generation: self.published.generation(), endpoints }
    }

    fn show_one(&self, identity: &Identity, wall: Wall) -> Option<ShownEndpoint> {
        let view = self.fleet.view(identity)?;
        let endpoint = self.backends.endpoint(identity)?;
        let backends = self.backends.backends_of(identity);
        let classes = backends.iter().zip(self.fleet.classes(identity));
        let ejected_in = classes.filter(|(_, class)| **class == Class::Ejected);
        let last_probe = view.last_probe.map(|(at, probed)| ShownProbe {
            at: wall.at(at),
            outcome: outcome(probed),
            status: if let Probed::Answered { status, .. } = probed { status } else { None },
        });
        Some(ShownEndpoint {
            service: identity.service.to_string(),
            id: identity.id.to_string(),
            run: identity.run.to_string(),
            address: identity.address().to_string(),
            scheme: identity.scheme,
            ejected_in: ejected_in.map(|(name, _)| (*name).to_owned()).collect(),
            backends: backends.into_iter().map(str::to_owned).collect(),
            state: State::as_str(view.state),
            reason: view.why.as_str(),
            because: view.why.to_string(),
            since: wall.at(view.since),
            doubted: view.is_doubted,
            in_flight: endpoint.in_flight(),
            requests: endpoint.requests(),
            failures: endpoint.signals().failures(),
            last_probe,
        })
    }
}
