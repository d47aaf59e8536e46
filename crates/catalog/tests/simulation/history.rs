//! The log, beside all that was ever appended to it: what a reader has who never missed anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_catalog::{ChangeLog, Event, Gap};
use berth_model::{ChangeKind, Identity, Instance};

const MOST_ENTRIES: usize = 24;
const MOST_BYTES: usize = 60;

/// What a reader knows, by identity.
pub(crate) type State = BTreeMap<Identity, Arc<Instance>>;

pub(crate) struct History {
    log: ChangeLog<Event>,
    // The state after each sequence, and what that entry was said to hold.
    states: Vec<(State, usize)>,
}

impl Default for History {
    fn default() -> Self {
        Self { log: ChangeLog::new(MOST_ENTRIES, MOST_BYTES), states: vec![(State::new(), 0)] }
    }
}

impl History {
    pub(crate) fn append(&mut self, event: Event) {
        let mut state = self.now().clone();
        apply(&mut state, &event);
        // Entries differ in size, so that now the one bound is met first and now the other.
        let size_bytes = 1 + self.states.len() % 4;
        self.states.push((state, size_bytes));
        let sequence = self.log.head() + 1;
        self.log.append(size_bytes, |given| {
            assert_eq!(given, sequence);
            event
        });
    }

    pub(crate) fn now(&self) -> &State {
        &self.states[self.states.len() - 1].0
    }

    pub(crate) fn cursors(&self) -> usize {
        self.states.len()
    }

    /// From a cursor the log leads to the present state, or says that it cannot. Returns whether it can.
    pub(crate) fn check(&self, cursor: usize) -> bool {
        let missed = &self.states[cursor + 1..];
        let missed_bytes: usize = missed.iter().map(|(_, size_bytes)| size_bytes).sum();
        let is_kept = missed.len() <= MOST_ENTRIES && missed_bytes <= MOST_BYTES;
        match self.log.since(cursor as u64) {
            Ok(entries) => {
                assert!(is_kept, "cursor {cursor} is older than the log");
                let mut replayed = self.states[cursor].0.clone();
                entries.for_each(|event| apply(&mut replayed, event));
                assert_eq!(&replayed, self.now(), "from cursor {cursor}");
            }
            Err(gap) => assert_eq!((gap, is_kept), (Gap::TooOld, false), "at cursor {cursor}"),
        }
        is_kept
    }
}

/// A joined one is new to the reader, the others it knows: a changed one otherwise, one that left as it was.
fn apply(state: &mut State, event: &Event) {
    let identity = event.instance.identity();
    let follows = match event.kind {
        ChangeKind::Joined => state.insert(identity, Arc::clone(&event.instance)).is_none(),
        ChangeKind::Changed => {
            let before = state.insert(identity, Arc::clone(&event.instance));
            before.is_some_and(|before| before != event.instance)
        }
        ChangeKind::Left => state.remove(&identity).is_some_and(|before| before == event.instance),
    };
    assert!(follows, "{event:?} does not follow from what came before");
    assert_eq!(event.reason.is_some(), event.kind == ChangeKind::Left);
}
