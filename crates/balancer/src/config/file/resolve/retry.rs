use super::read_some;
use crate::config::file::health_keys::RetryKeys;
use crate::config::file::problem::{Report, quoted};
use crate::config::file::spot::{OneOrMany, Spot};
use crate::config::{Retry, RetryOn};

/// When a route sends requests again.
pub(super) fn read_retry(keys: Option<&Spot<RetryKeys>>, report: &mut Report<'_>) -> Retry {
    let usual = Retry::default();
    let Some(keys) = keys else { return usual };
    Retry {
        attempts: keys.attempts.unwrap_or(usual.attempts),
        on: keys.on.as_ref().map_or(usual.on, |on| read_causes(on, report)),
    }
}

fn read_causes(keys: &Spot<OneOrMany<Spot<String>>>, report: &mut Report<'_>) -> RetryOn {
    if keys.value.0.is_empty() {
        report.error(keys.place, "`on` has no cause: write `attempts: 0` to send nothing again");
    }
    let mut on = RetryOn { reset: false, silence: false, timeout: false, statuses: Vec::new() };
    for cause in &keys.value.0 {
        match cause.as_str() {
            "reset" => on.reset = true,
            "silence" => on.silence = true,
            "timeout" => on.timeout = true,
            _ => on.statuses.extend(read_some(Some(cause), "on", read_status, report)),
        }
    }
    on.statuses.sort_unstable();
    on.statuses.dedup();
    on
}

fn read_status(text: &str) -> Result<u16, String> {
    let status = if text.len() == 3 { text.parse().ok() } else { None };
    status.filter(|status| (500..=599).contains(status)).ok_or_else(|| {
        format!("is {}: write `reset`, `silence`, `timeout` or a status from 500 to 599", quoted(text))
    })
}
