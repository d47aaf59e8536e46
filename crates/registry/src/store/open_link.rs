use std::sync::Arc;

use berth_catalog::LinkId;
use berth_model::{LinkEnded, RunName};
use tokio_util::sync::CancellationToken;

use super::links::{Mailbox, Told};
use super::memory::{Key, Memory};

/// A link that a process holds. Dropped, it is lost.
#[derive(Debug)]
pub struct OpenLink {
    store: Arc<Memory>,
    id: LinkId,
    keys: Vec<Key>,
    mailbox: Arc<Mailbox>,
    stop: CancellationToken,
}

impl OpenLink {
    /// Opens a link for these runs. Their owner hears at once what it has missed. When `stop` is cancelled it is
    /// the registry that ends, and no loss means anything.
    pub fn open(store: &Arc<Memory>, runs: Vec<RunName>, stop: CancellationToken) -> Self {
        let (id, mailbox) = store.open_mailbox();
        let mut keys = Vec::with_capacity(runs.len());
        for run in runs {
            let key = (run.service.clone(), run.id.clone());
            match store.hold(&run, id, &mailbox) {
                Ok(()) => keys.push(key),
                Err(reason) => mailbox.put(Told::Ended(LinkEnded { run, reason })),
            }
        }
        Self { store: Arc::clone(store), id, keys, mailbox, stop }
    }

    /// Whether none of its runs lives: then it is good for nothing but to say so.
    pub(crate) fn is_idle(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

impl Drop for OpenLink {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            self.store.lose(self.id, &self.keys);
        }
    }
}
