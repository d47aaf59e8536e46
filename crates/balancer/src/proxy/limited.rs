//! What clients are told who ask too much.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use berth_http1::RequestHead;

use super::client::Client;
use super::reply::Told;
use super::request::Request;
use super::shared::Worker;
use crate::routing::{ProxySettings, RateLimit};

/// Takes a request into account. If it is one too many, the client is told so.
#[inline(never)]
pub(crate) fn check(worker: &Worker, client: &Client, head: &RequestHead<'_>, request: &mut Request) {
    let Some(routed) = &request.routed else { return };
    let address = || sender(head, &routed.view.general, client.peer_address);
    if let Err((limit, wait)) = routed.route().take(head, address) {
        worker.cells.limited.add(1);
        request.told = Some(too_many(head, fields(limit, wait)));
    }
}

fn too_many(head: &RequestHead<'_>, fields: String) -> Box<Told> {
    Box::new(Told::sentence(429, "Too many requests.", head.prefers_json, fields.into_bytes()))
}

/// What the client may know of the limit that it has met, as the draft `ratelimit-headers` of the IETF has it.
fn fields(limit: &RateLimit, wait: Duration) -> String {
    let wait_s = whole_seconds(wait);
    // A window is told in whole seconds.
    let window_s = whole_seconds(limit.per);
    let window_ns = u128::from(window_s) * Duration::from_secs(1).as_nanos();
    let requests = u128::from(limit.requests.get()) * window_ns / limit.per.as_nanos().max(1);
    format!(
        "Retry-After: {wait_s}\r\nRateLimit-Limit: {}\r\nRateLimit-Remaining: 0\r\nRateLimit-Reset: {wait_s}\r\n\
         RateLimit-Policy: {requests};w={window_s}\r\n",
        limit.burst
    )
}

/// Rounded up, and at least 1.
fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

/// Who has sent a request: the peer, or, as long as each in turn is trusted, whom it names. Behind somebody who names
/// nobody nobody is looked for.
fn sender(head: &RequestHead<'_>, general: &ProxySettings, peer: IpAddr) -> IpAddr {
    let mut sender = peer;
    let fields = head.fields("x-forwarded-for").rev();
    let entries = fields.flat_map(|value| value.rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    for entry in entries.filter(|entry| !entry.is_empty()) {
        match read_address(entry) {
            Some(address) if general.trusts(sender) => sender = address,
            _ => break,
        }
    }
    sender
}

/// An address, perhaps with a port.
fn read_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let plain = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    plain.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

#[cfg(test)]
mod tests;
