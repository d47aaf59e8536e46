//! What the connections of one worker share.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::ProxySettings;
use super::buffers::Buffers;
use super::deadlines::Deadlines;
use super::pool::Pool;
use super::view::View;
use crate::telemetry::{Cells, WorkerLog};
use crate::upstreams::Published;

/// What one poll reads at most.
const SCRATCH_BYTES: usize = 64 * 1024;

/// What the connections of one worker share. Nothing in it is ever borrowed over an `.await`.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) settings: Arc<ProxySettings>,
    pub(crate) scratch: RefCell<Box<[u8]>>,
    pub(crate) buffers: Buffers,
    pub(crate) pool: Pool,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) cells: Arc<Cells>,
    pub(crate) access_log: Option<WorkerLog>,
    /// No keep-alive any more: each connection ends with its present request.
    pub(crate) draining: Cell<bool>,
    pub(crate) connections: Cell<usize>,
    /// Rung whenever a connection ends.
    pub(crate) ended: Notify,
    published: Arc<Published>,
    view: RefCell<View>,
}

impl Worker {
    pub(crate) fn new(
        settings: Arc<ProxySettings>,
        published: Arc<Published>,
        cells: Arc<Cells>,
        access_log: Option<WorkerLog>,
    ) -> Self {
        let view = Rc::new(published.current());
        cells.generation.set(view.generation);
        Self {
            settings,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
            buffers: Buffers::default(),
            pool: Pool::default(),
            deadlines: Deadlines::new(),
            cells,
            access_log,
            draining: Cell::new(false),
            connections: Cell::new(0),
            ended: Notify::new(),
            view: RefCell::new(view),
            published,
        }
    }

    /// The newest snapshot of the upstreams.
    pub(crate) fn view(&self) -> View {
        if self.published.generation() != self.view.borrow().generation {
            self.renew_view();
        }
        Rc::clone(&self.view.borrow())
    }

    #[cold]
    fn renew_view(&self) {
        let view = Rc::new(self.published.current());
        let known: HashSet<u64> = view.set.endpoints().iter().map(|endpoint| endpoint.key()).collect();
        self.pool.retain(|key| known.contains(&key));
        self.cells.generation.set(view.generation);
        *self.view.borrow_mut() = view;
    }
}
