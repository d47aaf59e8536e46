use std::sync::Arc;

use berth_model::{LinkChanged, Patch, Revision, RunName};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;

use super::ticks;
use crate::encode;
use crate::store::{Memory, OpenLink, Told};
use crate::telemetry::Counted;

/// What the owner of a link is told: a tick at once and then every 5 s, and between them what others did to its
/// runs. It ends with `stop`, or when its owner reads so slowly that words were lost.
pub(crate) fn link(
    store: Arc<Memory>,
    open: OpenLink,
    stop: CancellationToken,
    place: OwnedSemaphorePermit,
    counted: Counted,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let first = encode::tick(store.journal.head());
    let is_idle = open.is_idle();
    let linked = Linked {
        store,
        open,
        stop,
        ticks: ticks(),
        is_idle,
        has_said_all: false,
        _place: place,
        _counted: counted,
    };
    let rest = stream::unfold(linked, async |mut linked| {
        let bytes = linked.next().await?;
        Some((bytes, linked))
    });
    stream::iter([first]).chain(rest)
}

struct Linked {
    store: Arc<Memory>,
    open: OpenLink,
    stop: CancellationToken,
    ticks: Interval,
    // None of its runs lives: it ends when it has said so, and does not take the place of one that is of use.
    is_idle: bool,
    has_said_all: bool,
    _place: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Linked {
    async fn next(&mut self) -> Option<Bytes> {
        if self.has_said_all {
            return None;
        }
        self.has_said_all = self.is_idle;
        tokio::select! {
            () = self.stop.cancelled() => None,
            words = self.open.mailbox().take() => {
                let revision = self.store.journal.head();
                let mut bytes = BytesMut::new();
                words?.iter().for_each(|told| encode_told(revision, told, &mut bytes));
                Some(bytes.freeze())
            }
            _ = self.ticks.tick() => Some(encode::tick(self.store.journal.head())),
        }
    }
}

/// The events of a link: `drain`, `undrain`, `changed`, `ended`.
fn encode_told(revision: Revision, told: &Told, out: &mut BytesMut) {
    match told {
        Told::Asked(run, patch) => encode_asked(revision, run, patch, out),
        Told::Ended(ended) => out.extend_from_slice(&encode::named("ended", revision, ended)),
    }
}

fn encode_asked(revision: Revision, run: &RunName, patch: &Patch, out: &mut BytesMut) {
    if let Some(draining) = patch.draining {
        let name = if draining { "drain" } else { "undrain" };
        out.extend_from_slice(&encode::named(name, revision, run));
    }
    if patch.weight.is_some() || patch.meta.is_some() {
        let changed = LinkChanged { run: run.clone(), weight: patch.weight, meta: patch.meta.clone() };
        out.extend_from_slice(&encode::named("changed", revision, &changed));
    }
}
