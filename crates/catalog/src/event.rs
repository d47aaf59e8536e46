use std::sync::Arc;

use berth_model::{ChangeKind, Instance, Reason};

/// A change to one instance, before it has its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: ChangeKind,
    /// The instance after it, or as it was last when it left.
    pub instance: Arc<Instance>,
    /// Why it left; with [`ChangeKind::Left`] only.
    pub reason: Option<Reason>,
}

impl Event {
    pub(crate) fn joined(instance: Arc<Instance>) -> Self {
        Self { kind: ChangeKind::Joined, instance, reason: None }
    }

    pub(crate) fn changed(instance: Arc<Instance>) -> Self {
        Self { kind: ChangeKind::Changed, instance, reason: None }
    }

    pub(crate) fn left(instance: Arc<Instance>, reason: Reason) -> Self {
        Self { kind: ChangeKind::Left, instance, reason: Some(reason) }
    }
}
