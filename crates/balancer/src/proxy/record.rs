//! The one ending of each request: counters, latency, and a line in the access log.

use std::net::SocketAddr;
use std::time::Instant;

use super::client::Client;
use super::failure::Failure;
use super::request::Request;
use super::shared::Worker;
use crate::telemetry::AccessEntry;

/// What is known of a request while it runs.
#[derive(Debug)]
pub(crate) struct Record {
    started: Instant,
    endpoint: Option<SocketAddr>,
    status: u16,
    begun: bool,
    bytes: u64,
}

impl Record {
    pub(crate) fn begin() -> Self {
        Self { started: Instant::now(), endpoint: None, status: 0, begun: false, bytes: 0 }
    }

    /// The endpoint that the request is with now.
    pub(crate) fn chosen(&mut self, address: SocketAddr) {
        self.endpoint = Some(address);
    }

    /// The final answer's head has been read.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
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

    /// Tells metrics and log how the request ended.
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
        worker.cells.took(took);
        if let Some(failure) = failure {
            worker.cells.failed(failure.side());
            tracing::debug!(status, %failure, endpoint = ?self.endpoint, "request failed");
        }
        if let (Some(line), Some(log)) = (request.line.take(), &worker.access_log) {
            log.write(&AccessEntry {
                peer: &client.peer,
                line: &line,
                status,
                bytes: self.bytes,
                endpoint: self.endpoint,
                took,
                failure: failure.map(|failure| failure as &dyn std::fmt::Display),
            });
        }
    }
}
