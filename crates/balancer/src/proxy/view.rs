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
    view: View,
    /// Its place in the view's set.
    pub(crate) index: usize,
}

impl Chosen {
    /// Chooses an endpoint that is not among `tried`.
    pub(crate) fn next(view: &View, tried: &[usize]) -> Option<Self> {
        let index = view.strategy.choose(&view.set, tried)?;
        Some(Self { view: Rc::clone(view), index })
    }
}

impl Deref for Chosen {
    type Target = Endpoint;
    fn deref(&self) -> &Endpoint {
        &self.view.set.endpoints()[self.index]
    }
}
