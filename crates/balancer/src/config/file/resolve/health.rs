use std::ops::RangeInclusive;
use std::time::Duration;

use berth_fleet::Check;

use super::{policy, read_some};
use crate::config::file::health_keys::{HealthEntry, HealthKeys};
use crate::config::file::problem::{Report, quoted};
use crate::config::file::route_keys::{BackendKeys, RouteKeys};
use crate::config::file::spot::{OneOrMany, Place, Spot};
use crate::config::{Health, ProbeKind, parse_time};

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The statuses that an answer may have; what is below is no answer yet.
const STATUSES: RangeInclusive<u16> = 200..=599;

/// The statuses of an endpoint that is well, where nothing is said.
const WELL: RangeInclusive<u16> = 200..=399;

/// How a backend's endpoints are looked at, where a route or a backend says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looking<'k> {
    health: Option<&'k Spot<HealthEntry>>,
}

shared_keys!(Looking: health);

impl Looking<'_> {
    pub(super) fn read(&self, report: &mut Report<'_>) -> Health {
        let Some(entry) = self.health else { return Health::default() };
        let keys = &entry.value.0;
        Health { probe: read_probe(keys, report), check: Some(read_check(keys, report)) }
    }
}

fn read_probe(keys: &HealthKeys, report: &mut Report<'_>) -> ProbeKind {
    let asks = [
        ("path", keys.path.as_ref().map(|key| key.place)),
        ("host", keys.host.as_ref().map(|key| key.place)),
        ("status", keys.status.as_ref().map(|key| key.place)),
    ];
    if keys.tcp == Some(true) {
        for (key, place) in asks {
            if let Some(place) = place {
                report.error(
                    place,
                    format!("`{key}` has no meaning with `tcp`, which asks nothing: leave it out"),
                );
            }
        }
        return ProbeKind::Connect;
    }
    if asks.iter().all(|(_, place)| place.is_none()) {
        return ProbeKind::Head;
    }
    ProbeKind::Get {
        path: read_some(keys.path.as_ref(), "path", read_path, report).unwrap_or_else(|| "/".to_owned()),
        host: read_some(keys.host.as_ref(), "host", policy::read_host, report),
        expect: read_expected(keys.status.as_ref(), report),
    }
}

fn read_check(keys: &HealthKeys, report: &mut Report<'_>) -> Check {
    let usual = Check::default();
    let interval =
        read_some(keys.interval.as_ref(), "interval", read_interval, report).unwrap_or(usual.interval);
    let timeout = read_some(keys.timeout.as_ref(), "timeout", parse_time, report);
    if let (Some(said), Some(timeout)) = (&keys.timeout, timeout)
        && timeout > interval
    {
        let interval = humantime::format_duration(interval);
        let message =
            format!("timeout is {}: it may be as long as the interval, {interval}, at most", quoted(said));
        report.error(said.place, message);
    }
    Check {
        interval,
        timeout: timeout.unwrap_or(usual.timeout.min(interval)),
        rise: keys.rise.unwrap_or(usual.rise),
        fall: keys.fall.unwrap_or(usual.fall),
    }
}

fn read_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_time(text)?;
    if !(SHORTEST..=LONGEST).contains(&interval) {
        return Err(format!("is {}: write a time from 100ms to 1h", quoted(text)));
    }
    Ok(interval)
}

fn read_path(text: &str) -> Result<String, String> {
    // It goes into a request line as it is.
    if !text.starts_with('/') || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(format!("is {}: write one such as /healthz", quoted(text)));
    }
    Ok(text.to_owned())
}

fn read_expected(
    keys: Option<&Spot<OneOrMany<Spot<String>>>>,
    report: &mut Report<'_>,
) -> Vec<RangeInclusive<u16>> {
    let Some(keys) = keys else { return vec![WELL] };
    if keys.value.0.is_empty() {
        report.error(keys.place, "`status` has no status: leave it out for 200-399");
    }
    keys.value.0.iter().filter_map(|text| read_some(Some(text), "status", read_statuses, report)).collect()
}

/// Reads `200`, `2xx` or `200-399`.
fn read_statuses(text: &str) -> Result<RangeInclusive<u16>, String> {
    // Only digits: what Rust reads as a number may have a sign.
    let status = |text: &str| {
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        number.filter(|status| STATUSES.contains(status))
    };
    let statuses = match (text.strip_suffix("xx"), text.split_once('-')) {
        (Some(first), _) => status(&format!("{first}00")).map(|first| first..=first + 99),
        (None, Some((first, last))) => {
            status(first).zip(status(last)).map(|(first, last)| first..=last).filter(|all| !all.is_empty())
        }
        (None, None) => status(text).map(|only| only..=only),
    };
    statuses.ok_or_else(|| format!("is {}: write 200, 2xx or 200-399, from 200 to 599", quoted(text)))
}
