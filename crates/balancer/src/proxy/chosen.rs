//! The endpoint that was chosen for a request.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use berth_pick::queue::Place;
use berth_pick::{Ask, Endpoint};

use super::view::View;
use crate::routing::PublicUrl;

/// An endpoint that was chosen, with the view that keeps it alive.
#[derive(Debug)]
pub(crate) struct Chosen {
    hold: Hold,
    /// Its backend's place in the view.
    backend: usize,
    /// Its place in the backend's set. That of one with a place of its own, or of the reserve, is not known.
    index: usize,
}

/// What keeps a chosen endpoint alive.
#[derive(Debug)]
enum Hold {
    /// A count that no other thread touches.
    View(View),
    Endpoint(Arc<Endpoint>),
    /// A place of a backend whose endpoints take so many requests and no more.
    Place(Box<Place>),
}

impl Chosen {
    /// The one at this place of a backend's set.
    #[inline]
    pub(crate) fn of(view: &View, backend: usize, index: usize) -> Self {
        Self { hold: Hold::View(Rc::clone(view)), backend, index }
    }

    /// Chooses an endpoint of this backend that is not among `tried`.
    #[inline]
    pub(crate) fn next(view: &View, backend: usize, ask: &mut Ask<'_>) -> Option<Self> {
        let chooses = &view.backends[backend];
        let index = chooses.chooser.choose(&chooses.set, ask)?;
        Some(Self::of(view, backend, index))
    }

    /// One with a place of its own.
    pub(crate) fn at(place: Place, backend: usize) -> Self {
        Self { hold: Hold::Place(Box::new(place)), backend, index: usize::MAX }
    }

    /// One of a backend's reserve.
    pub(crate) fn reserve(endpoint: Arc<Endpoint>, backend: usize) -> Self {
        Self { hold: Hold::Endpoint(endpoint), backend, index: usize::MAX }
    }

    /// Its backend's place in the view, and its own in the backend's set.
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.backend, self.index)
    }

    /// Where clients reach it without us.
    pub(crate) fn public_url(&self) -> Option<&PublicUrl> {
        match &self.hold {
            Hold::View(view) => view.backends[self.backend].public_url(self.index),
            Hold::Endpoint(_) | Hold::Place(_) => None,
        }
    }

    /// Lets go of the view. For what lasts long: else a tunnel would keep all endpoints that were there when it began.
    pub(crate) fn let_go_of_view(&mut self) {
        if let Hold::View(view) = &self.hold {
            self.hold = Hold::Endpoint(Arc::clone(&view.backends[self.backend].set.endpoints()[self.index]));
        }
    }
}

impl Deref for Chosen {
    type Target = Endpoint;
    fn deref(&self) -> &Endpoint {
        match &self.hold {
            Hold::View(view) => &view.backends[self.backend].set.endpoints()[self.index],
            Hold::Endpoint(endpoint) => endpoint,
            Hold::Place(place) => place.endpoint(),
        }
    }
}
