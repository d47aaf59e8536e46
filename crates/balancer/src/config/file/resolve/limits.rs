use std::num::NonZeroU32;
use std::time::Duration;

use berth_route::is_token;

use super::read_some;
use crate::config::file::keys::{FileKeys, PerClientKeys};
use crate::config::file::problem::{Report, quoted};
use crate::config::file::route_keys::{LimitByKeys, RateLimitKeys};
use crate::config::file::spot::{OneOrMany, Spot};
use crate::config::{LimitBy, PerClient, RateLimit, parse_time};

/// The most limits of a route.
const MOST_LIMITS: usize = 8;

/// The most limits of all routes that go by clients: each may take 1 MiB for them.
const MOST_BY_CLIENT: usize = 256;

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a burst may take at the pace of its limit. Times are counted in nanoseconds, of which there are not enough
/// for any number.
const LONGEST_BURST_DAYS: u128 = 365;

/// What each client may have at once.
pub(super) fn read_per_client(
    keys: Option<&Spot<PerClientKeys>>,
    report: &mut Report<'_>,
) -> Option<PerClient> {
    let keys = keys?;
    let (max_connections, max_requests) = (keys.max_connections, keys.max_requests);
    if max_connections.is_none() && max_requests.is_none() {
        report.error(keys.place, "`per_client` must have `max_connections`, `max_requests` or both");
    }
    Some(PerClient { max_connections, max_requests })
}

/// The limits of a route.
pub(super) fn read_rate_limits(
    keys: Option<&Spot<OneOrMany<Spot<RateLimitKeys>>>>,
    report: &mut Report<'_>,
) -> Vec<RateLimit> {
    let Some(keys) = keys else { return Vec::new() };
    let limits = &keys.value.0;
    if limits.is_empty() {
        report.error(keys.place, "`rate_limit` has no limit: leave it out if there is none");
    }
    if let Some(one_more) = limits.get(MOST_LIMITS) {
        let message = format!("`rate_limit` has {} limits, but a route may have {MOST_LIMITS}", limits.len());
        report.error(one_more.place, message);
    }
    limits.iter().filter_map(|keys| read_rate_limit(&keys.value, report)).collect()
}

/// Whether all routes together have only so many limits as there is room for.
pub(super) fn check_number(file: &FileKeys, report: &mut Report<'_>) {
    let routes = file.routes.iter().flatten();
    let limits = routes.flat_map(|route| route.rate_limit.iter().flat_map(|limits| &limits.value.0));
    if let Some(one_more) = limits.filter_map(|limit| limit.by.as_ref()).nth(MOST_BY_CLIENT) {
        let message = format!("this is one limit with `by` too many: a file may have {MOST_BY_CLIENT}");
        report.error(one_more.place, message);
    }
}

fn read_rate_limit(keys: &RateLimitKeys, report: &mut Report<'_>) -> Option<RateLimit> {
    let per = read_some(keys.per.as_ref(), "per", parse_period, report);
    let by = keys.by.as_ref().map(|by| read_by(by, report));
    let limit = RateLimit {
        requests: keys.requests,
        per: if keys.per.is_some() { per? } else { Duration::from_secs(1) },
        burst: keys.burst.as_ref().map_or(keys.requests, |burst| burst.value),
        by: by.map_or(Some(None), |by| by.map(Some))?,
    };
    if let Some(burst) = &keys.burst {
        check_burst(&limit, burst, report);
    }
    Some(limit)
}

fn check_burst(limit: &RateLimit, burst: &Spot<NonZeroU32>, report: &mut Report<'_>) {
    let takes = limit.pace().as_nanos() * u128::from(burst.value.get());
    let days = takes / LONGEST.as_nanos();
    if days > LONGEST_BURST_DAYS {
        let message =
            format!("`burst` is what comes in {days} days, but may be that of {LONGEST_BURST_DAYS}");
        report.error(burst.place, message);
    }
}

fn parse_period(text: &str) -> Result<Duration, String> {
    let per = parse_time(text)?;
    if !(SHORTEST..=LONGEST).contains(&per) {
        return Err(format!("is {}: write a time from 1ms to 1d", quoted(text)));
    }
    Ok(per)
}

fn read_by(keys: &Spot<LimitByKeys>, report: &mut Report<'_>) -> Option<LimitBy> {
    match (&keys.address, &keys.header) {
        (Some(address), None) if address.value => Some(LimitBy::Address),
        (None, Some(name)) => {
            if !is_token(name) {
                report.error(name.place, format!("{} is no name of a field", quoted(name)));
            }
            Some(LimitBy::Header(name.value.clone()))
        }
        _ => {
            let message = "`by` must have either `address: true` or `header`, with its name";
            report.error(keys.place, message);
            None
        }
    }
}
