use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use berth_pick::{Endpoint, Strategy};

use crate::upstreams::Snapshot;

/// A worker's own hold on a snapshot. Requests share it by a count that no other thread touches.
pub(crate) type View = Rc<Arc<Snapshot>>;

/// An endpoint that was chosen, with the view that keeps it alive.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    hold: Hold,
    /// Its place in the view's set.
    pub(crate) index: usize,
}

/// What keeps a chosen endpoint alive.
#[derive(Clone, Debug)]
enum Hold {
    /// A count that no other thread touches.
    View(View),
    Endpoint(Arc<Endpoint>),
}

impl Chosen {
    /// Chooses an endpoint that is not among `tried`.
    pub(crate) fn next(view: &View, tried: &[usize]) -> Option<Self> {
        let index = view.strategy.choose(&view.set, tried)?;
        Some(Self { hold: Hold::View(Rc::clone(view)), index })
    }

    /// Lets go of the view. For what lasts long: else a tunnel would keep all endpoints that were there when it began.
    pub(crate) fn let_go_of_view(&mut self) {
        if let Hold::View(view) = &self.hold {
            self.hold = Hold::Endpoint(Arc::clone(&view.set.endpoints()[self.index]));
        }
    }
}

impl Deref for Chosen {
    type Target = Endpoint;
    fn deref(&self) -> &Endpoint {
        match &self.hold {
            Hold::View(view) => &view.set.endpoints()[self.index],
            Hold::Endpoint(endpoint) => endpoint,
        }
    }
}
