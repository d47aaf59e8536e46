//! What clients are told who ask too much.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use berth_http1::forward::Downstream;
use berth_http1::{RequestHead, Version};

use super::client::Client;
use super::deadlines::LAST_CALL;
use super::record;
use super::reply::{Reply, Told};
use super::request::Request;
use super::shared::Worker;
use crate::routing::{ProxySettings, RateLimit};
use crate::telemetry::MetLimit;

#[cfg(test)]
mod tests;

/// Counts a connection for its client. False: it is one too many.
pub(crate) fn count_in(worker: &Worker, client: &mut Client) -> bool {
    let view = worker.view();
    let Some(limits) = view.general.per_client else { return true };
    if view.general.trusts(client.peer_address) {
        return true;
    }
    let counted = worker.clients.admit(client.peer_address, limits.max_connections);
    client.counted = counted.map(Box::new);
    client.counted.is_some()
}

/// Tells a client that its connection is one too many, whatever it may want.
pub(crate) async fn turn_away(worker: &Worker, client: &mut Client) {
    poll_fn(|cx| {
        client.deadline.attach(cx);
        Poll::Ready(())
    })
    .await;
    record::turned_away(worker, client);
    let reply = Reply {
        status: 429,
        sentence: "Too many connections.",
        json: false,
        to_head: false,
        client: Downstream { version: Version::Http11, keep_alive: false },
    };
    if client.answer(worker, |out| reply.write(out)).await {
        client.close(worker, LAST_CALL).await;
    }
}

/// Whether a request has to be counted.
#[inline]
pub(crate) fn is_counted(worker: &Worker, client: &Client, request: &Request) -> bool {
    let is_limited = request.routed.as_ref().is_some_and(|routed| routed.route().is_limited());
    is_limited || (client.counted.is_some() && worker.reading.get().most_requests)
}

/// Counts a request. If it is one too many, the client is told so.
#[inline(never)]
pub(crate) fn count(worker: &Worker, client: &Client, head: &RequestHead<'_>, request: &mut Request) {
    if let Err((limit, fields)) = take(worker, client, head, request) {
        worker.cells.limited(limit).add(1);
        // It may take long to tell a client that reads slowly.
        request.counts_no_more();
        request.more().met_limit = Some(limit);
        let told = Told::sentence(429, "Too many requests.", head.prefers_json, fields.into_bytes());
        request.more().told = Some(Box::new(told));
    }
}

/// Takes a request, or says what field lines there are for one too many.
fn take(
    worker: &Worker,
    client: &Client,
    head: &RequestHead<'_>,
    request: &mut Request,
) -> Result<(), (MetLimit, String)> {
    // First: one that waits for others to end does not count as one that came.
    if let Some(counted) = &client.counted
        && let Some(most) = most_requests(worker, client)
    {
        let refused = || (MetLimit::MaxRequests, "Retry-After: 1\r\n".to_owned());
        request.more().under_way = Some(counted.begin(most).ok_or_else(refused)?);
    }
    let Some(routed) = &request.routed else { return Ok(()) };
    let address = || sender(head, &routed.view.general, client.peer_address);
    routed.route().take(head, address).map_err(|(limit, wait)| (MetLimit::RateLimit, fields(limit, wait)))
}

/// How many requests a client may have under way now. It may have become trusted since it came.
fn most_requests(worker: &Worker, client: &Client) -> Option<u32> {
    let view = worker.view();
    let limits = view.general.per_client.filter(|_| !view.general.trusts(client.peer_address));
    limits.and_then(|limits| limits.max_requests)
}

/// What the client may know of the limit that it has met, in the fields of `draft-ietf-httpapi-ratelimit-headers-06`:
/// later revisions have others, which fewer clients read.
fn fields(limit: &RateLimit, wait: Duration) -> String {
    let wait_s = whole_seconds(wait);
    // A window is told in whole seconds.
    let window_s = whole_seconds(limit.per);
    let window_ns = u128::from(window_s) * Duration::from_secs(1).as_nanos();
    let requests = u128::from(limit.requests.get()) * window_ns / limit.per.as_nanos().max(1);
    let burst = if limit.burst == limit.requests { String::new() } else { format!(";burst={}", limit.burst) };
    format!(
        "Retry-After: {wait_s}\r\nRateLimit-Limit: {}\r\nRateLimit-Remaining: 0\r\nRateLimit-Reset: {wait_s}\r\n\
         RateLimit-Policy: {requests};w={window_s}{burst}\r\n",
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
