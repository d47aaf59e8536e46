use std::sync::Arc;

use berth_model::{ChangeKind, Instance, Patch, Reason};

use crate::link::{Links, Notice, Word};

/// A change to one instance, before it has its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: ChangeKind,
    /// The instance after it, or as it was last when it left.
    pub instance: Arc<Instance>,
    /// Why it left; with [`ChangeKind::Left`] only.
    pub reason: Option<Reason>,
    /// What its owner must hear of it. None when the owner did it, or holds no link.
    pub notice: Option<Notice>,
}

impl Event {
    pub(crate) fn joined(instance: Arc<Instance>) -> Self {
        Self { kind: ChangeKind::Joined, instance, reason: None, notice: None }
    }

    pub(crate) fn changed(instance: Arc<Instance>) -> Self {
        Self { kind: ChangeKind::Changed, instance, reason: None, notice: None }
    }

    pub(crate) fn asked(instance: Arc<Instance>, links: &Links, patch: &Patch) -> Self {
        let notice = links.notice(|| Word::Asked(patch.clone()));
        Self { kind: ChangeKind::Changed, instance, reason: None, notice }
    }

    pub(crate) fn left(instance: Arc<Instance>, links: &Links, reason: Reason) -> Self {
        let notice = links.notice(|| Word::Ended(reason));
        Self { kind: ChangeKind::Left, instance, reason: Some(reason), notice }
    }
}
