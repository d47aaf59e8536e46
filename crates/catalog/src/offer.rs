use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use berth_model::{Instance, InstanceId, Registration, Run, ServiceName};

use crate::Event;

/// A registration with what its sender did not say.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The service.
    pub service: ServiceName,
    /// The instance.
    pub id: InstanceId,
    /// What the owner says.
    pub registration: Registration,
    /// The address to publish: the registration's own, or the caller's.
    pub host: IpAddr,
    /// A run made just now, for an owner that sent none.
    pub fresh: Run,
}

impl Offer {
    /// Where the instance says that it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.registration.port)
    }

    pub(crate) fn into_instance(self, run: Run) -> Arc<Instance> {
        Arc::new(self.registration.into_instance(self.service, self.id, run, self.host))
    }
}

/// One attempt to register that waits for its dial. Numbers are never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What came of an offer.
#[derive(Clone, Debug)]
pub enum Step {
    /// It is published, or was already.
    Accepted(Accepted),
    /// Its address must be dialled first: then [`crate::Record::verified`] or [`crate::Record::abandon`].
    Dial(Box<Offer>),
}

/// A registration that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// What is published now.
    pub instance: Arc<Instance>,
    /// Whether this run or address was not live before.
    pub joined: bool,
    /// What changed, in this order; nothing when it only renewed the lease.
    pub events: Vec<Event>,
}
