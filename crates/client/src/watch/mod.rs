//! Following a registry's list: [`follow`] decides what to do next, [`position`] knows which changes were seen.

mod follow;
mod position;

use berth_model::{Change, ServiceName, Snapshot};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::RegistryAddress;

/// Updates that wait for the reader; behind them the stream itself waits.
const WAITING_UPDATES: usize = 64;

/// What a [`Watch`] tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// Everything, as it is now: it takes the place of all that was told before.
    Snapshot(Snapshot),
    /// One step from the last snapshot or change.
    Change(Change),
    /// The registry is away. The last list stays the best that is known; when the registry is back, a
    /// snapshot follows.
    Away {
        /// What was tried, and how it failed.
        why: String,
    },
}

/// Follows a registry's list of instances for as long as it lives.
///
/// It yields a snapshot, then every change in order. After a short interruption it resumes where it was; after
/// any gap it yields a snapshot again. A registry that is away, refuses, or is silent for 15 s is told of once,
/// as [`Update::Away`], and tried again for ever. Where event streams do not get through, it asks for the list
/// every 2 s instead; those snapshots know no ended runs.
#[derive(Debug)]
pub struct Watch {
    updates: mpsc::Receiver<Update>,
    _task: AbortOnDropHandle<()>,
}

impl Watch {
    /// Starts to follow all services, or one. Must be called within a tokio runtime.
    ///
    /// A token that cannot be sent is told as [`Update::Away`], after which nothing comes any more.
    pub fn start(address: RegistryAddress, token: Option<String>, service: Option<ServiceName>) -> Self {
        let (sender, updates) = mpsc::channel(WAITING_UPDATES);
        let task = tokio::spawn(follow::follow(address, token, service, sender));
        Self { updates, _task: AbortOnDropHandle::new(task) }
    }

    /// The next update. It may be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Update {
        match self.updates.recv().await {
            Some(update) => update,
            None => std::future::pending().await,
        }
    }
}
