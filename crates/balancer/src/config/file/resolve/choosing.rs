use berth_route::is_token;

use super::read_some;
use crate::config::file::problem::{Report, quoted};
use crate::config::file::route_keys::{BackendKeys, HashByKeys, RouteKeys};
use crate::config::file::spot::{Place, Spot};
use crate::config::{Choosing, HashBy, Sticky, StrategyName, parse_time};

/// The most that `bounded_load` may be: with more it bounds nothing.
const MOST_LOAD: f32 = 100.0;

/// How a backend or a route chooses.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChoosingKeys<'k> {
    pub(super) strategy: Option<&'k Spot<StrategyName>>,
    pub(super) hash_by: Option<&'k Spot<HashByKeys>>,
    pub(super) bounded_load: Option<&'k Spot<String>>,
    pub(super) slow_start: Option<&'k Spot<String>>,
    pub(super) sticky: Option<&'k Spot<Sticky>>,
}

shared_keys!(ChoosingKeys: strategy, hash_by, bounded_load, slow_start, sticky);

impl ChoosingKeys<'_> {
    pub(super) fn read(&self, report: &mut Report<'_>) -> Choosing {
        let strategy = self.strategy.map(|key| key.value).unwrap_or_default();
        let is_consistent = strategy == StrategyName::ConsistentHash;
        for (key, place, has_meaning) in [
            ("hash_by", self.hash_by.map(|key| key.place), is_consistent),
            (
                "bounded_load",
                self.bounded_load.map(|key| key.place),
                is_consistent || strategy == StrategyName::IpHash,
            ),
        ] {
            if let Some(place) = place.filter(|_| !has_meaning) {
                let strategy = strategy.as_str();
                report.error(
                    place,
                    format!("`{key}` has no meaning with the strategy `{strategy}`: leave it out"),
                );
            }
        }
        Choosing {
            strategy,
            hash_by: self.hash_by.and_then(|keys| read_hash_by(keys, report)).unwrap_or_default(),
            bounded_load: read_some(self.bounded_load, "bounded_load", parse_factor, report),
            slow_start: read_some(self.slow_start, "slow_start", parse_time, report),
            sticky: self.sticky.map(|key| key.value),
        }
    }
}

fn parse_factor(text: &str) -> Result<f32, &'static str> {
    let factor: Option<f32> = text.parse().ok().filter(|factor| (1.0..=MOST_LOAD).contains(factor));
    factor.ok_or("write a number from 1 to 100, such as 1.25")
}

fn read_hash_by(keys: &Spot<HashByKeys>, report: &mut Report<'_>) -> Option<HashBy> {
    let named = |name: &Spot<String>, what: &str, report: &mut Report<'_>| {
        let is_name = if what == "parameter" { !name.is_empty() } else { is_token(name) };
        if !is_name {
            report.error(name.place, format!("{} is no name of a {what}", quoted(name)));
        }
        name.value.clone()
    };
    match (&keys.header, &keys.cookie, &keys.query, &keys.path) {
        (Some(name), None, None, None) => Some(HashBy::Header(named(name, "field", report))),
        (None, Some(name), None, None) => Some(HashBy::Cookie(named(name, "cookie", report))),
        (None, None, Some(name), None) => Some(HashBy::Query(named(name, "parameter", report))),
        (None, None, None, Some(path)) if path.value => Some(HashBy::Path),
        _ => {
            let message = "`hash_by` must have exactly one of `header`, `cookie` and `query`, with its name, or `path: true`";
            report.error(keys.place, message);
            None
        }
    }
}
