//! How often a request is sent, and where it ends if nobody answers.

use berth_pick::Endpoint;

use super::candidates::Candidates;
use super::failure::Failure;
use super::request::Request;
use super::shared::Worker;
use super::view::Routed;
use crate::routing::LiveRoute;
use crate::telemetry::Retried;

/// What a request has been through, and whom it may still ask.
pub(crate) struct Tries {
    pub(crate) candidates: Candidates,
    /// How often it has been sent again that may have arrived.
    retried: u32,
    /// Nothing more is to be had of the budget.
    is_spent: bool,
    /// What the client is told if nobody is left.
    ending: Ending,
}

/// What came of the endpoints that were tried, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    NotTried,
    Unreachable,
    Distrusted,
    Declined(u16),
    NoAnswer,
    Late,
}

impl Tries {
    #[inline]
    pub(crate) fn of(routed: Routed) -> Self {
        let candidates = Candidates::of(routed);
        Self { candidates, retried: 0, is_spent: false, ending: Ending::NotTried }
    }

    #[inline]
    pub(crate) fn route(&self) -> &LiveRoute {
        self.candidates.routed().route()
    }

    /// How often it has been sent again that may have arrived.
    pub(crate) fn retried(&self) -> u32 {
        self.retried
    }

    /// Whether the request, of whose answer the client has nothing yet, may be sent again though it may have arrived. If
    /// so, that is one of its tries, and one of the retries of its backend.
    #[cold]
    pub(crate) fn take_retry(&mut self, worker: &Worker, request: &Request, why: Retried) -> bool {
        let retry = &self.route().retry;
        let is_meant = match why {
            Retried::Reset => retry.on.reset,
            Retried::Silence => retry.on.silence,
            Retried::Timeout => retry.on.timeout,
            // Asked with the status at hand.
            Retried::Status => true,
        };
        let may = is_meant && self.retried < retry.attempts && !self.is_spent;
        // RFC 9110 §9.2.2.
        if !(may && request.method.is_idempotent() && request.upload.is_whole()) {
            return false;
        }
        let routed = self.candidates.routed();
        let backend = &routed.view.backends[routed.backend];
        if !backend.lasting.places.retries.take(backend, worker.asking.now_ms()) {
            self.is_spent = true;
            worker.cells.retries_refused.add(1);
            return false;
        }
        self.retried += 1;
        worker.cells.retried(why).add(1);
        true
    }

    /// Whether an answer of this status goes no further, because somebody else is asked.
    #[cold]
    pub(crate) fn declines(
        &mut self,
        worker: &Worker,
        request: &Request,
        endpoint: &Endpoint,
        status: u16,
    ) -> bool {
        self.route().retry.on.statuses.contains(&status)
            && self.candidates.has_other(worker, endpoint)
            && self.take_retry(worker, request, Retried::Status)
    }

    /// Notes how an endpoint has failed that was not the last.
    #[cold]
    pub(crate) fn met(&mut self, failure: &Failure) {
        let ending = match failure {
            Failure::Connect(_) => Ending::Unreachable,
            Failure::Handshake(_) => Ending::Distrusted,
            Failure::Declined { status, .. } => Ending::Declined(*status),
            Failure::AnswerTimeout | Failure::GivenUp => Ending::Late,
            _ => Ending::NoAnswer,
        };
        self.ending = self.ending.max(ending);
    }

    /// What the client is told, now that nobody is left.
    #[cold]
    pub(crate) fn end(&self) -> Failure {
        match self.ending {
            Ending::NotTried => Failure::NoEndpoint,
            Ending::Unreachable => Failure::AllUnreachable,
            Ending::Distrusted => Failure::AllDistrusted,
            Ending::Declined(status) => Failure::Declined { status, is_reusable: false },
            Ending::NoAnswer => Failure::NoAnswer,
            Ending::Late => Failure::AnswerTimeout,
        }
    }
}
