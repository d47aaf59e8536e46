use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use berth_catalog::{LinkId, Notice, Word};
use berth_model::{Instance, LinkEnded, Patch, RunName};
use dashmap::DashMap;
use tokio::sync::Notify;

/// A link that lets so many words lie is of no use any more; its owner opens another and hears what still holds.
const MOST_WAITING: usize = 1024;

/// Where the words for the owners of runs wait for the links that carry them.
#[derive(Debug, Default)]
pub(super) struct Links {
    boxes: DashMap<LinkId, Arc<Mailbox>>,
}

/// What an owner hears.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// Others changed the run.
    Asked(RunName, Patch),
    /// The run ended, or is not known.
    Ended(LinkEnded),
}

/// The words for one link. Empty it holds no memory of its own.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    // Held for a few instructions, never over an `.await`.
    words: Mutex<Words>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Words {
    waiting: VecDeque<Told>,
    overflowed: bool,
}

impl Words {
    /// Several changes of a run that wait are one, whose last word counts member by member.
    fn merge(&mut self, told: &Told) -> bool {
        let Told::Asked(run, later) = told else { return false };
        let of_run = self.waiting.iter_mut().rev().find(|waiting| match waiting {
            Told::Asked(other, _) => other == run,
            Told::Ended(ended) => ended.run == *run,
        });
        let Some(Told::Asked(_, patch)) = of_run else { return false };
        patch.merge(later);
        true
    }
}

impl Links {
    pub(super) fn open(&self, link: LinkId) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::default());
        self.boxes.insert(link, Arc::clone(&mailbox));
        mailbox
    }

    pub(super) fn close(&self, link: LinkId) {
        self.boxes.remove(&link);
    }

    /// Called while the record's shard is locked, so that an owner hears of one run in the right order.
    pub(super) fn tell(&self, notice: &Notice, instance: &Instance) {
        let run = RunName { service: instance.service.clone(), id: instance.id.clone(), run: instance.run };
        let told = match &notice.word {
            Word::Asked(patch) => Told::Asked(run, patch.clone()),
            Word::Ended(reason) => Told::Ended(LinkEnded { run, reason: Some(*reason) }),
        };
        for link in &notice.links {
            self.boxes.view(link, |_, mailbox| mailbox.put(told.clone()));
        }
    }
}

impl Mailbox {
    pub(super) fn put(&self, told: Told) {
        let mut words = self.words();
        if words.merge(&told) {
            return;
        }
        if words.waiting.len() < MOST_WAITING {
            words.waiting.push_back(told);
        } else {
            words.overflowed = true;
        }
        drop(words);
        self.bell.notify_one();
    }

    /// Everything that waits, at least one word. None when words were lost.
    pub(crate) async fn take(&self) -> Option<VecDeque<Told>> {
        loop {
            {
                let mut words = self.words();
                if words.overflowed {
                    return None;
                }
                if !words.waiting.is_empty() {
                    return Some(std::mem::take(&mut words.waiting));
                }
            }
            self.bell.notified().await;
        }
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
