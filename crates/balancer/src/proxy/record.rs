//! The one ending of each request: counters, latency, and a line in the access log.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::client::Client;
use super::failure::Failure;
use super::request::Request;
use super::shared::Worker;
use crate::telemetry::{AccessEntry, LoggedLine, MetLimit, Side};

/// What is known of a request while it runs.
#[derive(Debug)]
pub(crate) struct Record {
    started: Instant,
    endpoint: Option<SocketAddr>,
    status: u16,
    begun: bool,
    bytes: u64,
    load: Option<f32>,
    /// So long it waited for a place.
    waited_us: u32,
}

impl Record {
    pub(crate) fn begin() -> Self {
        Self {
            started: Instant::now(),
            endpoint: None,
            status: 0,
            begun: false,
            bytes: 0,
            load: None,
            waited_us: 0,
        }
    }

    /// When the request began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// How long endpoints have been asked for: since it began, without the wait for a place.
    pub(crate) fn asked_for(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_micros(self.waited_us.into()))
    }

    /// Whether it has waited for a place at an endpoint.
    pub(crate) fn has_waited(&self) -> bool {
        self.waited_us > 0
    }

    /// The endpoint that the request is with now.
    pub(crate) fn chosen(&mut self, address: SocketAddr) {
        self.endpoint = Some(address);
    }

    /// The final answer's head has been read.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// The status of the final answer, once its head has been read.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// The endpoint says this of its load. What is no number says nothing.
    #[cold]
    pub(crate) fn reports(&mut self, load: &[u8]) {
        self.load = std::str::from_utf8(load).ok().and_then(|load| load.parse().ok());
    }

    /// What the endpoint says of its load, from 0 to 1.
    pub(crate) fn load(&self) -> Option<f32> {
        self.load
    }

    /// It has waited so long for a place at an endpoint.
    #[cold]
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited_us = self.waited_us.saturating_add(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// Its first bytes have gone to the client.
    pub(crate) fn begun(&mut self) {
        self.begun = true;
    }

    /// Whether the client has seen part of an answer.
    pub(crate) fn answer_begun(&self) -> bool {
        self.begun
    }

    /// So many bytes of the answer's body went to the client.
    pub(crate) fn relayed(&mut self, bytes: u64) {
        self.bytes = bytes;
    }

    /// Tells metrics and log how the request ended. A tunnel's time is not a request's.
    pub(crate) fn end(
        self,
        worker: &Worker,
        client: &Client,
        request: &mut Request,
        failure: Option<&Failure>,
    ) {
        let status = failure.map_or(self.status, Failure::status);
        let took = self.started.elapsed();
        worker.cells.answered(status);
        if status != 101 {
            worker.cells.took(took);
        }
        if let Some(failure) = failure {
            worker.cells.failed(failure.side());
            tracing::debug!(status, %failure, endpoint = ?self.endpoint, "request failed");
        }
        let met_limit = request.extras().and_then(|extras| extras.met_limit).map(MetLimit::as_str);
        let line = request.extras_mut().and_then(|extras| extras.line.take());
        if let (Some(line), Some(log)) = (line, &worker.access_log) {
            log.write(&AccessEntry {
                peer: client.peer.as_str(),
                line: Some(&line),
                status,
                bytes: self.bytes,
                endpoint: self.endpoint,
                took,
                waited: Duration::from_micros(self.waited_us.into()),
                failure: failure
                    .map(|failure| failure as &dyn Display)
                    .or(met_limit.as_ref().map(|limit| limit as &dyn Display)),
            });
        }
    }
}

/// Tells metrics and log of a request that went no further than here; `problem` says why, if something is wrong with
/// it. Of one that could not be read there is no `line`.
pub(crate) fn answered_here(
    worker: &Worker,
    client: &Client,
    line: Option<&LoggedLine>,
    status: u16,
    problem: Option<&str>,
) {
    if let Some(problem) = problem {
        worker.cells.failed(Side::Client);
        tracing::debug!(status, problem, peer = client.peer.as_str(), "request refused");
    }
    note(worker, client, line, status, problem);
}

/// Tells metrics and log of a connection that is one too many. Whoever meets a limit has not failed.
pub(crate) fn turned_away(worker: &Worker, client: &Client) {
    note(worker, client, None, 429, Some("max_connections"));
}

fn note(worker: &Worker, client: &Client, line: Option<&LoggedLine>, status: u16, problem: Option<&str>) {
    worker.cells.answered(status);
    if let Some(log) = &worker.access_log {
        log.write(&AccessEntry {
            peer: client.peer.as_str(),
            line,
            status,
            bytes: 0,
            endpoint: None,
            took: Duration::ZERO,
            waited: Duration::ZERO,
            failure: problem.as_ref().map(|problem| problem as &dyn Display),
        });
    }
}
