use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Instance, InstanceId, Revision, Run, ServiceName};

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Its owner said goodbye.
    Deregistered,
    /// An operator took it out.
    Removed,
    /// A newer run of the same id took its place.
    Replaced,
    /// Its link broke and its address refused the dial-back.
    Crashed,
    /// Its lease ran out.
    Expired,
}

impl Reason {
    /// Whether somebody wanted this end. A balancer obeys intent at once; the other reasons are opinions,
    /// which it checks for itself.
    pub fn is_intent(self) -> bool {
        matches!(self, Reason::Deregistered | Reason::Removed | Reason::Replaced)
    }

    /// The reason as it travels.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Deregistered => "deregistered",
            Reason::Removed => "removed",
            Reason::Replaced => "replaced",
            Reason::Crashed => "crashed",
            Reason::Expired => "expired",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A tombstone: a run that ended not long ago, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The service.
    pub service: ServiceName,
    /// The instance.
    pub id: InstanceId,
    /// Which life of it ended.
    pub run: Run,
    /// Why.
    pub reason: Reason,
}

/// The data of the event `snapshot`: everything at one revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The point in history that it shows.
    pub revision: Revision,
    /// All live instances, sorted by service and id.
    pub instances: Vec<Instance>,
    /// Runs that ended within the last 10 minutes.
    pub ended: Vec<Ended>,
}

/// What happened to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It became live.
    Joined,
    /// Its weight, meta or draining changed.
    Changed,
    /// It ended.
    Left,
}

impl ChangeKind {
    /// The kind as it travels.
    pub fn as_str(self) -> &'static str {
        match self {
            ChangeKind::Joined => "joined",
            ChangeKind::Changed => "changed",
            ChangeKind::Left => "left",
        }
    }
}

/// The data of the event `change`: one step of history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The point in history that it leads to.
    pub revision: Revision,
    /// What happened.
    pub kind: ChangeKind,
    /// The instance as it is after the change, or as it was last when it left.
    pub instance: Instance,
    /// Why it left; only with [`ChangeKind::Left`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// The data of the event `tick`: nothing happened, the registry is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The newest point in history.
    pub revision: Revision,
}
