//! What is told of an endpoint: its state, and why it is in it.

use std::fmt;
use std::time::Duration;

use berth_model::{Identity, Reason};

use crate::Probed;
use crate::source::Gone;

/// What a balancer believes of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It takes requests.
    Confirmed,
    /// It takes requests only while too few others are confirmed.
    Unconfirmed,
    /// It takes requests only when nobody else can.
    Ejected,
    /// It takes no new requests.
    Draining,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [State::Confirmed, State::Unconfirmed, State::Ejected, State::Draining];

    /// Its name in API, log and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Confirmed => "confirmed",
            State::Unconfirmed => "unconfirmed",
            State::Ejected => "ejected",
            State::Draining => "draining",
        }
    }
}

/// Why an endpoint is in its state, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// A source lists it.
    Listed,
    /// A source says that it drains.
    Draining,
    /// It was listed before the start, and has not answered a probe yet.
    Remembered,
    /// It was listed before the start, and answers.
    RememberedAnswers,
    /// It refused a connection.
    Refused,
    /// It refused a connection while no registry could be asked, and answers again: it may be somebody else by now.
    RefusedUnseen,
    /// It did not answer a probe.
    Unanswered,
    /// So many of so many requests failed, more than elsewhere.
    Failures {
        /// Those that failed.
        failed: u64,
        /// All that were counted.
        of: u64,
    },
    /// So many checks in a row were not answered as expected.
    Checks(u32),
    /// A registry says that it crashed.
    Crashed,
    /// A registry says that it crashed, but it has answered since.
    CrashedAnswers,
    /// Its lease ran out.
    Expired,
    /// No registry lists it any more.
    Absent,
    /// A registry told of its end, which was intended.
    Ended(Reason),
    /// Whoever named it does not name it any more.
    Withdrawn,
    /// A later run has its address.
    LaterRun,
    /// Nobody lists it, and it has been silent for too long.
    NeverAnswered,
    /// Nobody has listed it for too long.
    TooLong,
}

impl Why {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Listed => "listed",
            Why::Draining => "draining",
            Why::Remembered | Why::RememberedAnswers => "remembered",
            Why::Refused => "refused",
            Why::RefusedUnseen => "refused_unseen",
            Why::Unanswered => "unanswered",
            Why::Failures { .. } => "failures",
            Why::Checks(_) => "checks",
            Why::Crashed | Why::CrashedAnswers => "crashed",
            Why::Expired => "expired",
            Why::Absent => "absent",
            Why::Ended(reason) => reason.as_str(),
            Why::Withdrawn => "withdrawn",
            Why::LaterRun => "later_run",
            Why::NeverAnswered => "never_answered",
            Why::TooLong => "too_long",
        }
    }
}

impl From<Gone> for Why {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Ended(Reason::Crashed) => Why::Crashed,
            Gone::Ended(Reason::Expired) => Why::Expired,
            Gone::Ended(reason) => Why::Ended(reason),
            Gone::Withdrawn => Why::Withdrawn,
            Gone::Absent => Why::Absent,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Listed => "listed",
            Why::Draining => "it drains",
            Why::Remembered => "listed before the start; it has not answered a probe yet",
            Why::RememberedAnswers => "listed before the start; it answers probes",
            Why::Refused => "it refused a connection",
            Why::RefusedUnseen => {
                "it refused a connection while no registry answered; it answers probes again"
            }
            Why::Unanswered => "it did not answer a probe",
            Why::Failures { failed, of } => return write!(f, "{failed} of {of} requests failed"),
            Why::Checks(failed) => {
                return write!(f, "{failed} checks in a row were not answered as expected");
            }
            Why::Crashed => "a registry says that it crashed",
            Why::CrashedAnswers => "a registry says that it crashed; it answers probes",
            Why::Expired => "its lease ran out",
            Why::Absent => "no registry lists it",
            Why::Ended(reason) => return write!(f, "{reason}"),
            Why::Withdrawn => "it is not named any more",
            Why::LaterRun => "a later run has its address",
            Why::NeverAnswered => "nobody lists it and it does not answer probes",
            Why::TooLong => "nobody has listed it for too long",
        })
    }
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whose.
    pub identity: Identity,
    /// What it was; none if it is new.
    pub from: Option<State>,
    /// What it is; none if it is gone.
    pub to: Option<State>,
    /// Why.
    pub why: Why,
}

/// What is believed of one endpoint, to be shown. Times are those of the clock that events are told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What it may do.
    pub state: State,
    /// Why.
    pub why: Why,
    /// Since when.
    pub since: Duration,
    /// Its last probe: when it was answered or given up, and what came of it.
    pub last_probe: Option<(Duration, Probed)>,
    /// Whether traffic or a registry has raised a doubt that no probe has settled yet.
    pub is_doubted: bool,
}
