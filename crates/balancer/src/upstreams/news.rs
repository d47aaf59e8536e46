//! What the log is told of endpoints, and their counts for the metrics.

use std::collections::HashMap;

use berth_fleet::{State, Turn, Why};
use berth_model::Identity;
use tracing::{info, warn};

use super::Upstreams;

/// Who has come and gone.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Those that are wanted from now on.
    pub(super) joined: Vec<Identity>,
    /// Those that were wanted, and are gone or not wanted any more.
    pub(super) left: Vec<Identity>,
}

impl Upstreams {
    /// Tells what has become of those who are wanted, and of those who were.
    pub(super) fn tell(&mut self, news: &News) {
        let turns = self.fleet.take_turns();
        turns.iter().for_each(|turn| self.published.evidence.turned(turn));
        let gone: HashMap<&Identity, Why> =
            turns.iter().filter(|turn| turn.to.is_none()).map(|turn| (&turn.identity, turn.why)).collect();
        for identity in &news.left {
            let (service, id, address) = (&identity.service, &identity.id, identity.address());
            // It is there, and no backend wants it.
            let reason = gone.get(identity).map_or("unwanted", |why| why.as_str());
            info!(%service, %id, %address, reason, "instance left");
        }
        news.joined.iter().for_each(|identity| self.tell_joined(identity));
        for turn in turns.iter().filter(|turn| turn.from.is_some() && self.backends.wants(&turn.identity)) {
            tell_turn(turn);
        }
    }

    fn tell_joined(&self, identity: &Identity) {
        let (service, id, address) = (&identity.service, &identity.id, identity.address());
        let version = self.fleet.member(identity).and_then(|member| member.instance.version.as_ref());
        let version = version.map_or("none", |version| version.as_str());
        let state = self.fleet.view(identity).map_or("gone", |view| view.state.as_str());
        info!(%service, %id, %address, version, state, "instance joined");
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

fn tell_turn(turn: &Turn) {
    let Turn { identity, from, to, why } = turn;
    let (service, id, address) = (&identity.service, &identity.id, identity.address());
    match (from, to) {
        (_, None) => {}
        (_, Some(State::Draining)) => info!(%service, %id, %address, "instance drains"),
        (Some(State::Draining), Some(State::Confirmed)) => {
            info!(%service, %id, %address, "instance takes requests again");
        }
        (_, Some(State::Ejected)) => warn!(%service, %id, %address, reason = %why, "endpoint ejected"),
        (_, Some(State::Unconfirmed)) => {
            warn!(%service, %id, %address, reason = %why, "endpoint unconfirmed");
        }
        (_, Some(State::Confirmed)) => info!(%service, %id, %address, "endpoint confirmed"),
    }
}
