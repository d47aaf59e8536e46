use std::net::IpAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use berth_http1::RequestHead;
use berth_pick::{Ask, Endpoint};
use berth_route::Ambiguous;

use super::asking::Asking;
use crate::routing::{LiveRoute, PublicUrl};
use crate::upstreams::Snapshot;

/// A worker's own hold on a snapshot. Requests share it by a count that no other thread touches.
pub(crate) type View = Rc<Arc<Snapshot>>;

/// The route of a request, with the view that keeps it alive.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) view: View,
    /// The route's place.
    route: usize,
    /// The backend that the request goes to first.
    pub(crate) backend: usize,
    /// What keeps the client or the request to an endpoint, where the backend goes by it.
    key: u64,
}

impl Routed {
    /// Finds the route of a request.
    ///
    /// # Errors
    /// The route depends on who reads the path.
    #[inline]
    pub(crate) fn find(view: View, head: &RequestHead<'_>, peer: IpAddr) -> Result<Option<Self>, Ambiguous> {
        let Some(route) = view.routes.find(head)? else { return Ok(None) };
        let backend = view.routes.get(route).backend(head);
        let key = view.backends.get(backend).map_or(0, |backend| backend.chooser.choosing.key_of(head, peer));
        Ok(Some(Self { view, route, backend, key }))
    }

    #[inline]
    pub(crate) fn route(&self) -> &LiveRoute {
        self.view.routes.get(self.route)
    }

    /// Whom clients are told about when there is nobody.
    pub(crate) fn subject(&self) -> &str {
        self.view.backends.get(self.backend).map_or("", |backend| &backend.subject)
    }
}

/// An endpoint that was chosen, with the view that keeps it alive.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    hold: Hold,
    /// Its backend's place in the view.
    backend: usize,
    /// Its place in the backend's set.
    index: usize,
}

/// What keeps a chosen endpoint alive.
#[derive(Clone, Debug)]
enum Hold {
    /// A count that no other thread touches.
    View(View),
    Endpoint(Arc<Endpoint>),
}

impl Chosen {
    /// Chooses an endpoint of this backend that is not among `tried`.
    #[inline]
    pub(crate) fn next(view: &View, backend: usize, ask: &mut Ask<'_>) -> Option<Self> {
        let chooses = &view.backends[backend];
        let index = chooses.chooser.choose(&chooses.set, ask)?;
        Some(Self { hold: Hold::View(Rc::clone(view)), backend, index })
    }

    /// Its backend's place in the view, and its own in the backend's set.
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.backend, self.index)
    }

    /// Where clients reach it without us.
    pub(crate) fn public_url(&self) -> Option<&PublicUrl> {
        match &self.hold {
            Hold::View(view) => view.backends[self.backend].public_url(self.index),
            Hold::Endpoint(_) => None,
        }
    }

    /// Lets go of the view. For what lasts long: else a tunnel would keep all endpoints that were there when it began.
    pub(crate) fn let_go_of_view(&mut self) {
        if let Hold::View(view) = &self.hold {
            self.hold = Hold::Endpoint(Arc::clone(&view.backends[self.backend].set.endpoints()[self.index]));
        }
    }
}

/// The endpoints that may serve a request, one after the other: those of its backend, then, if the route has a share for
/// others, theirs.
pub(crate) struct Candidates<'a> {
    routed: &'a Routed,
    backend: usize,
    /// Endpoints of this backend that have failed.
    tried: Vec<usize>,
    /// Backends that have nobody left.
    given_up: Vec<usize>,
}

impl<'a> Candidates<'a> {
    #[inline]
    pub(crate) fn of(routed: &'a Routed) -> Self {
        Self { routed, backend: routed.backend, tried: Vec::new(), given_up: Vec::new() }
    }

    /// The next one, which is none of those before.
    #[inline]
    pub(crate) fn next(&mut self, asking: &Asking) -> Option<Chosen> {
        loop {
            let (key, tried) = (self.routed.key, &self.tried);
            let chosen = asking.ask(key, tried, |ask| Chosen::next(&self.routed.view, self.backend, ask));
            if let Some(chosen) = chosen {
                return Some(chosen);
            }
            if !self.give_up() {
                return None;
            }
        }
    }

    /// This one has failed. It may have been chosen before, of a backend further on: then those in front of that have
    /// nobody.
    pub(crate) fn failed(&mut self, (backend, index): (usize, usize)) {
        while backend != self.backend {
            if !self.give_up() {
                return;
            }
        }
        self.tried.push(index);
    }

    /// Goes on to the next backend, if there is one.
    #[cold]
    fn give_up(&mut self) -> bool {
        self.given_up.push(self.backend);
        let Some(other) = self.routed.route().others(&self.given_up) else { return false };
        self.backend = other;
        self.tried.clear();
        true
    }
}

impl Deref for Chosen {
    type Target = Endpoint;
    fn deref(&self) -> &Endpoint {
        match &self.hold {
            Hold::View(view) => &view.backends[self.backend].set.endpoints()[self.index],
            Hold::Endpoint(endpoint) => endpoint,
        }
    }
}
