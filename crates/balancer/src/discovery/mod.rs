//! Where endpoints come from: registries that are followed, and servers that are named. Each is a source that says
//! what it knows; who wins is decided in `upstreams`.

mod filter;
mod fixed;
mod registry;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use berth_client::RegistryAddress;
use berth_model::ServiceName;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::config::Settings;
use crate::routing::Upstream;
use crate::upstreams::{Plan, Said, SourceId};

/// What can be followed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Source {
    /// A registry; of one service, or of all that it lists.
    Registry {
        address: RegistryAddress,
        service: Option<ServiceName>,
    },
    Server(Upstream),
}

/// The sources that are followed, each by a task.
#[derive(Debug)]
pub(crate) struct Sources {
    said: mpsc::Sender<Said>,
    token: Option<String>,
    followed: HashMap<Source, (SourceId, AbortHandle)>,
    newest: SourceId,
}

impl Sources {
    pub(crate) fn new(said: mpsc::Sender<Said>, token: Option<String>) -> Self {
        Self { said, token, followed: HashMap::new(), newest: 0 }
    }

    /// Follows whatever these settings need and is not followed yet, and says which sources they are.
    pub(crate) fn follow(&mut self, settings: &Settings) -> Plan {
        let service = settings.routing.only_service();
        let registries = settings
            .registries
            .iter()
            .map(|address| Source::Registry { address: address.clone(), service: service.cloned() });
        let servers = settings.routing.backends.iter().flat_map(|backend| &backend.servers);
        let mut plan = Plan {
            routing: settings.routing.clone().into(),
            general: settings.proxy.clone().into(),
            servers: BTreeMap::new(),
            sources: BTreeSet::new(),
        };
        for source in registries.chain(servers.map(|server| Source::Server(server.upstream.clone()))) {
            let id = self.id_of(&source);
            if let Source::Server(upstream) = source {
                plan.servers.insert(id, upstream);
            }
            plan.sources.insert(id);
        }
        plan
    }

    fn id_of(&mut self, source: &Source) -> SourceId {
        if let Some((id, _)) = self.followed.get(source) {
            return *id;
        }
        self.newest += 1;
        let (id, said) = (self.newest, self.said.clone());
        let task = match source.clone() {
            Source::Registry { address, service } => {
                let filter = filter::Filter::new(service, &address);
                tokio::spawn(registry::follow(id, address, self.token.clone(), filter, said))
            }
            Source::Server(upstream) => tokio::spawn(fixed::follow(id, upstream, said)),
        };
        self.followed.insert(source.clone(), (id, task.abort_handle()));
        id
    }

    /// Follows the sources of this plan only.
    pub(crate) fn keep(&mut self, plan: &Plan) {
        self.followed.retain(|_, (id, task)| {
            let wanted = plan.sources.contains(id);
            if !wanted {
                task.abort();
            }
            wanted
        });
    }
}
