//! What the sources' word on an endpoint is worth: rows 1, 2, 3, 6, 7, 8 and 10 of the evidence table.

use std::time::Duration;

use crate::told::Why;

/// How long an endpoint that is said to have crashed has to answer a probe.
const SUSPECT_LIMIT: Duration = Duration::from_secs(30);

/// How long an endpoint that nobody lists may stay.
const UNLISTED_LIMIT: Duration = Duration::from_secs(600);

/// An endpoint that nobody lists goes when it leaves so many probes unanswered.
const MOST_SILENCES: u32 = 3;

/// What the sources say of an endpoint, by what was seen of it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A source lists it.
    Listed,
    /// It was listed, and has refused a connection when no registry could be reached.
    RefusedUnseen,
    /// It was listed before the start.
    Remembered { answers: bool },
    /// A registry says that it crashed, or does not list it, and it has not been seen alive before: it has to answer.
    Suspect { why: Why, since: Duration },
    /// Nobody lists it.
    Unlisted { why: Why, since: Duration, silences: u32 },
}

impl Standing {
    /// Of one that nobody lists any more.
    pub(crate) fn gone(why: Why, now: Duration) -> Self {
        match why {
            Why::Crashed | Why::Remembered => Standing::Suspect { why, since: now },
            why => Standing::Unlisted { why, since: now, silences: 0 },
        }
    }

    /// Whether a registry has said that it ended, or does not list it: then a refused connection is the end.
    pub(crate) fn is_gone(self) -> bool {
        matches!(self, Standing::Suspect { .. } | Standing::Unlisted { .. })
    }

    /// Whether it was listed before the start and has not answered since.
    pub(crate) fn has_never_answered(self) -> bool {
        match self {
            Standing::Remembered { answers } => !answers,
            Standing::Suspect { why, .. } => why == Why::Remembered,
            Standing::Listed | Standing::RefusedUnseen | Standing::Unlisted { .. } => false,
        }
    }

    /// Why it is not confirmed; none if it is.
    pub(crate) fn doubt(self) -> Option<Why> {
        match self {
            Standing::Listed => None,
            Standing::RefusedUnseen => Some(Why::RefusedUnseen),
            Standing::Remembered { answers: false } => Some(Why::Remembered),
            Standing::Remembered { answers: true } => Some(Why::RememberedAnswers),
            Standing::Suspect { why, .. } | Standing::Unlisted { why, .. } => Some(why),
        }
    }

    /// A probe that began then was answered.
    pub(crate) fn answered(&mut self, began: Duration) {
        match self {
            Standing::Remembered { answers } => *answers = true,
            Standing::Suspect { why, since } if began >= *since => {
                let why = if *why == Why::Crashed { Why::CrashedAnswers } else { Why::Absent };
                *self = Standing::Unlisted { why, since: *since, silences: 0 };
            }
            Standing::Unlisted { silences, .. } => *silences = 0,
            Standing::Listed | Standing::RefusedUnseen | Standing::Suspect { .. } => {}
        }
    }

    /// A probe was not answered. True if it was one too many.
    pub(crate) fn was_silent(&mut self) -> bool {
        let Standing::Unlisted { silences, .. } = self else { return false };
        *silences += 1;
        *silences >= MOST_SILENCES
    }

    /// When it has to go, unless it shows that it must not.
    pub(crate) fn limit(self) -> Option<Duration> {
        match self {
            Standing::Suspect { since, .. } => Some(since + SUSPECT_LIMIT),
            Standing::Unlisted { since, .. } => Some(since + UNLISTED_LIMIT),
            Standing::Listed | Standing::RefusedUnseen | Standing::Remembered { .. } => None,
        }
    }
}
