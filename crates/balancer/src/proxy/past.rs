//! What a request has been through.

use berth_pick::Endpoint;
use rustc_hash::FxHashSet;

/// What a request has been through.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Endpoints of the present backend that have failed, by their places in its set.
    pub(crate) tried: Vec<usize>,
    /// The same, and those that are not in the set of this view, by their keys.
    pub(crate) keys: Vec<u64>,
    /// Backends that have nobody left.
    pub(crate) given_up: Vec<usize>,
    /// All that it was with since it began, or began anew, by their keys.
    pub(crate) seen: FxHashSet<u64>,
    /// All that could not be reached: these it never comes back to, unless a newer view has them.
    pub(crate) unreachable: FxHashSet<u64>,
    /// Who is left of the reserves, by their backends and their places there.
    pub(crate) reserve: Option<Vec<(usize, usize)>>,
    /// How many of them were asked.
    pub(crate) asked_of_reserve: usize,
    /// Whether it has begun anew.
    pub(crate) is_anew: bool,
    /// How often it has gone on by a newer view.
    pub(crate) renewed: u32,
}

impl Past {
    /// Whether this one was asked already.
    pub(crate) fn is_over_for(&self, endpoint: &Endpoint) -> bool {
        self.seen.contains(&endpoint.key()) || self.unreachable.contains(&endpoint.key())
    }

    /// Those that have had the request may be asked again.
    pub(crate) fn begin_anew(&mut self) {
        self.seen.clear();
        self.given_up.clear();
        self.reserve = None;
        self.is_anew = true;
    }

    /// It goes on by a newer view.
    pub(crate) fn renew(&mut self) {
        self.renewed += 1;
        self.unreachable.clear();
        self.given_up.clear();
        self.reserve = None;
        self.is_anew = false;
    }
}
