use std::net::IpAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use berth_http1::RequestHead;
use berth_route::Ambiguous;

use super::tally::Tally;
use crate::routing::LiveRoute;
use crate::upstreams::{LiveBackend, Snapshot};

/// A worker's own hold on a snapshot. Requests share it by a count that no other thread touches.
pub(crate) type View = Rc<Viewed>;

/// A snapshot as one worker goes by it, with the requests that the worker has counted there.
#[derive(Debug)]
pub(crate) struct Viewed {
    snapshot: Arc<Snapshot>,
    tally: Tally,
}

impl Viewed {
    pub(crate) fn of(snapshot: Arc<Snapshot>) -> Self {
        let tally = Tally::of(&snapshot);
        Self { snapshot, tally }
    }

    /// Adds what was counted to the totals of all workers, at this time of the balancer's clock.
    pub(crate) fn settle(&self, now_ms: u64) {
        self.tally.settle(&self.snapshot, now_ms);
    }
}

impl Deref for Viewed {
    type Target = Snapshot;
    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// No place in a set.
const NOBODY: u32 = u32::MAX;

/// The route of a request, with the view that keeps it alive.
#[derive(Clone, Debug)]
pub(crate) struct Routed {
    pub(crate) view: View,
    /// The route's place.
    route: usize,
    /// The backend that the request goes to first; nowhere in the view if it asks no endpoint.
    pub(crate) backend: usize,
    /// What keeps the client or the request to an endpoint, where the backend goes by it.
    pub(crate) key: u64,
    /// The place of the endpoint that the client is to keep to, or [`NOBODY`].
    kept: u32,
}

impl Routed {
    /// Finds the route of a request, and counts it there.
    ///
    /// # Errors
    /// The route depends on who reads the path.
    #[inline]
    pub(crate) fn find(view: View, head: &RequestHead<'_>, peer: IpAddr) -> Result<Option<Self>, Ambiguous> {
        let Some(route) = view.routes.find(head)? else { return Ok(None) };
        let backend = view.routes.get(route).backend(head);
        view.tally.count(route, backend);
        let (key, kept) = view.backends.get(backend).map_or((0, NOBODY), |backend| {
            let kept = backend.sticky.as_ref().and_then(|cookie| cookie.place(head));
            let kept = kept.and_then(|place| u32::try_from(place).ok());
            (backend.chooser.choosing.key_of(head, peer), kept.unwrap_or(NOBODY))
        });
        Ok(Some(Self { view, route, backend, key, kept }))
    }

    /// The same by a newer view; none if its route or its backend is gone there. It is not counted again.
    #[cold]
    pub(crate) fn renewed(&self, view: View) -> Option<Self> {
        let (name, before) = (&self.route().name, self.view.backends.get(self.backend)?);
        let route = view.routes.all().iter().position(|route| route.name == *name)?;
        let is_it = |it: &Arc<LiveBackend>| it.lasting.name == before.lasting.name;
        let backend = view.backends.iter().position(is_it)?;
        let kept = self.kept().and_then(|place| before.set.endpoints().get(place)).and_then(|kept| {
            let mut now = view.backends[backend].set.endpoints().iter();
            now.position(|endpoint| endpoint.key() == kept.key())
        });
        let kept = kept.and_then(|place| u32::try_from(place).ok()).unwrap_or(NOBODY);
        Some(Self { view, route, backend, key: self.key, kept })
    }

    #[inline]
    pub(crate) fn route(&self) -> &LiveRoute {
        self.view.routes.get(self.route)
    }

    /// The place of the endpoint that the client is to keep to, in the set of the backend.
    #[inline]
    pub(crate) fn kept(&self) -> Option<usize> {
        (self.kept != NOBODY).then_some(self.kept as usize)
    }

    /// All backends that may serve it, the one that it goes to first in front, by their places.
    #[cold]
    pub(crate) fn backends(&self) -> Vec<usize> {
        let mut backends = vec![self.backend];
        while let Some(other) = self.route().others(&backends) {
            backends.push(other);
        }
        backends
    }

    /// Whom clients are told about when there is nobody.
    pub(crate) fn subject(&self) -> &str {
        self.view.backends.get(self.backend).map_or("", |backend| &backend.about.subject)
    }
}
