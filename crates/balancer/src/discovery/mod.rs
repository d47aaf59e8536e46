//! Where endpoints come from: registries that are followed, and upstreams named on the command line. Each is a
//! source that says what it knows; who wins is decided in `upstreams`.

mod filter;
mod fixed;
mod registry;

use berth_client::RegistryAddress;
use berth_model::Query;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::config::Upstream;
use crate::upstreams::Said;

/// What to follow.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) registries: Vec<RegistryAddress>,
    pub(crate) token: Option<String>,
    pub(crate) query: Option<Query>,
    pub(crate) upstreams: Vec<Upstream>,
}

impl Sources {
    /// What the endpoints of each source go by, for those that go by a name of their own.
    pub(crate) fn authorities(&self) -> Vec<Option<String>> {
        let registries = self.registries.iter().map(|_| None);
        registries.chain(self.upstreams.iter().map(Upstream::authority)).collect()
    }

    /// Starts to follow them all.
    pub(crate) fn follow(self, said: &mpsc::Sender<Said>) {
        let tasks = TaskTracker::new();
        for (index, address) in self.registries.iter().enumerate() {
            let filter = filter::Filter::new(self.query.clone(), address);
            tasks.spawn(registry::follow(index, address.clone(), self.token.clone(), filter, said.clone()));
        }
        for (index, upstream) in self.upstreams.into_iter().enumerate() {
            tasks.spawn(fixed::follow(self.registries.len() + index, upstream, said.clone()));
        }
    }
}
