//! What the log is told of endpoints, and their counts for the metrics.

use std::collections::BTreeSet;

use berth_fleet::{State, Turn};
use berth_model::Identity;
use tracing::{info, warn};

use super::Upstreams;

impl Upstreams {
    /// Tells what has become of those who are wanted, and of those who were and are gone.
    pub(super) fn tell_turns(&mut self, left: &BTreeSet<Identity>) {
        for turn in self.fleet.take_turns() {
            self.published.evidence.turned(&turn);
            if turn.to.is_none() && left.contains(&turn.identity) || self.backends.wants(&turn.identity) {
                self.tell(&turn);
            }
        }
    }

    fn tell(&self, turn: &Turn) {
        let Turn { identity, from, to, why } = turn;
        let (service, id, address) = (&identity.service, &identity.id, identity.address());
        match (from, to) {
            (_, None) => info!(%service, %id, %address, reason = why.as_str(), "instance left"),
            (_, Some(State::Draining)) => info!(%service, %id, %address, "instance drains"),
            (None, Some(state)) => {
                let member = self.fleet.member(identity);
                let version = member.and_then(|member| member.instance.version.as_ref());
                let version = version.map_or("none", |version| version.as_str());
                let state = state.as_str();
                info!(%service, %id, %address, version, state, "instance joined");
            }
            (Some(State::Draining), Some(State::Confirmed)) => {
                info!(%service, %id, %address, "instance takes requests again");
            }
            (_, Some(State::Ejected)) => {
                warn!(%service, %id, %address, reason = %why, "endpoint ejected");
            }
            (_, Some(State::Unconfirmed)) => {
                warn!(%service, %id, %address, reason = %why, "endpoint unconfirmed");
            }
            (_, Some(State::Confirmed)) => info!(%service, %id, %address, "endpoint confirmed"),
        }
    }

    pub(super) fn warn_of_second_service(&mut self) {
        if self.warned || !self.backends.is_open() {
            return;
        }
        let names = self.backends.open_services();
        if names.len() > 1 {
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            warn!(services = names, "requests go to all of these in turn; choose one with --service");
            self.warned = true;
        }
    }
}
