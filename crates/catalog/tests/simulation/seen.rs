//! What is seen of the catalog from outside, and what the shadow foretells of it.

use std::time::Duration;

use berth_catalog::{Event, Notice, Suspect};
use berth_model::{ChangeKind, Instance, Patch, Reason, Run};

use super::Key;

/// What came of a registration that was not refused.
#[derive(Debug, PartialEq)]
pub(crate) enum Put {
    Dialled,
    Published { run: Run, joined: bool },
}

/// An event, as far as the shadow foretells it.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: Key,
    pub(crate) kind: ChangeKind,
    pub(crate) run: Run,
    pub(crate) port: u16,
    pub(crate) reason: Option<Reason>,
    pub(crate) notice: Option<Notice>,
}

/// A life, as it is seen from outside.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) run: Run,
    pub(crate) port: u16,
    pub(crate) ttl: Duration,
    pub(crate) over: Duration,
    /// Whether its links broke, and then whether its address was ever reached.
    pub(crate) suspect: Option<bool>,
    pub(crate) words: Patch,
}

impl Told {
    pub(crate) fn of(id: Key, event: &Event) -> Self {
        let (run, port) = (event.instance.run, event.instance.port);
        Self { id, kind: event.kind, run, port, reason: event.reason, notice: event.notice.clone() }
    }
}

impl Seen {
    pub(crate) fn of(instance: &Instance, over: Duration, suspect: Option<Suspect>) -> Self {
        let (draining, weight) = (Some(instance.draining), Some(instance.weight));
        let words = Patch { draining, weight, meta: Some((&instance.meta).into()) };
        let (run, port, ttl) = (instance.run, instance.port, instance.ttl_s.duration());
        let is_right = |suspect: Suspect| (suspect.run, suspect.address) == (run, instance.address());
        assert!(suspect.is_none_or(is_right));
        Self { run, port, ttl, over, suspect: suspect.map(|suspect| suspect.dialled), words }
    }
}
