//! Where endpoints come from: registries that are followed, and servers that are named. Each is a source that says
//! what it knows; who wins is decided in `upstreams`.

mod filter;
mod fixed;
mod registry;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Weak};

use berth_client::RegistryAddress;
use berth_model::ServiceName;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Settings;
use crate::routing::Upstream;
use crate::upstreams::{Followed, Plan, Said, SourceId};

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

/// The sources that are followed, each by a task, for as long as somebody holds it.
#[derive(Debug)]
pub(crate) struct Sources {
    said: mpsc::Sender<Said>,
    token: Option<String>,
    known: HashMap<Source, (SourceId, Weak<AbortOnDropHandle<()>>)>,
    newest: SourceId,
}

impl Sources {
    pub(crate) fn new(said: mpsc::Sender<Said>, token: Option<String>) -> Self {
        Self { said, token, known: HashMap::new(), newest: 0 }
    }

    /// Follows whatever these settings need and is not followed yet. The plan holds all that it needs.
    pub(crate) fn follow(&mut self, settings: &Settings) -> Plan {
        self.known.retain(|_, (_, task)| task.strong_count() > 0);
        let service = settings.routing.only_service();
        let mut plan = Plan {
            routing: settings.routing.clone().into(),
            general: settings.proxy.clone().into(),
            servers: BTreeMap::new(),
            registries: BTreeMap::new(),
            sources: BTreeMap::new(),
            state: settings.state.path().map(Path::to_owned),
        };
        for address in &settings.registries {
            let source = Source::Registry { address: address.clone(), service: service.cloned() };
            let (id, followed) = self.follow_one(source);
            plan.registries.insert(id, address.clone());
            plan.sources.insert(id, followed);
        }
        for server in settings.routing.backends.iter().flat_map(|backend| &backend.servers) {
            let (id, followed) = self.follow_one(Source::Server(server.upstream.clone()));
            plan.servers.insert(id, server.upstream.clone());
            plan.sources.insert(id, followed);
        }
        plan
    }

    fn follow_one(&mut self, source: Source) -> (SourceId, Followed) {
        if let Some((id, task)) = self.known.get(&source)
            && let Some(followed) = task.upgrade()
        {
            return (*id, followed);
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
        let followed = Arc::new(AbortOnDropHandle::new(task));
        self.known.insert(source, (id, Arc::downgrade(&followed)));
        (id, followed)
    }
}
