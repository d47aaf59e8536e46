//! The shadow model: lists of what was said and when, asked anew each time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use berth_catalog::{LinkId, Notice, Offer, Refusal, Suspect, TOMBSTONE_LIFE, Ticket, Word};
use berth_model::{ChangeKind, Patch, Reason, Run, Verify};

use super::Key;
use super::seen::{Put, Seen, Told};
use super::words::Words;

/// More links than these are not counted for one run.
const MOST_LINKS: usize = 8;

/// The latest that a lease may end, counted from when it is over.
const MOST_LATE: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Life {
    run: Run,
    port: u16,
    ttl: Duration,
    renewed: Duration,
    // Those that named it, oldest first, also when they broke since.
    links: Vec<LinkId>,
    // Its address accepted a dial.
    dialled: bool,
    words: Words,
}

struct Stone {
    id: Key,
    run: Run,
    reason: Reason,
    at: Duration,
    words: Words,
}

// A walk is too short for the most tombstones of one id.
#[derive(Default)]
pub(crate) struct Shadow {
    pub(crate) told: Vec<Told>,
    /// What only some schedules lead to.
    pub(crate) reached: BTreeSet<&'static str>,
    live: BTreeMap<Key, Life>,
    stones: Vec<Stone>,
    dialled: Vec<(Ticket, Key, Option<Run>)>,
    open: BTreeSet<LinkId>,
}

impl Shadow {
    pub(crate) fn put(
        &mut self,
        id: Key,
        offer: &Offer,
        ticket: Ticket,
        now: Duration,
    ) -> Result<Put, Refusal> {
        let run = self.admit(id, offer, now)?;
        let lives = self.alive(id, now).is_some_and(|life| life.is_at(run, offer));
        if !lives && offer.registration.verify == Verify::Tcp {
            self.dialled.push((ticket, id, offer.registration.run));
            return Ok(Put::Dialled);
        }
        Ok(self.publish(id, offer, run, now))
    }

    pub(crate) fn verified(
        &mut self,
        id: Key,
        offer: &Offer,
        ticket: Ticket,
        now: Duration,
    ) -> Result<Put, Refusal> {
        if !self.abandon(ticket) {
            return Err(Refusal::Unknown);
        }
        let run = self.admit(id, offer, now)?;
        Ok(self.publish(id, offer, run, now))
    }

    pub(crate) fn abandon(&mut self, ticket: Ticket) -> bool {
        let place = self.dialled.iter().position(|dialled| dialled.0 == ticket);
        place.map(|place| self.dialled.remove(place)).is_some()
    }

    pub(crate) fn renew(&mut self, id: Key, run: Run, now: Duration) -> Result<(), Refusal> {
        if self.alive(id, now).is_none_or(|life| life.run != run) {
            return Err(self.refusal(id, run, now));
        }
        self.live.get_mut(&id).unwrap().renewed = now;
        Ok(())
    }

    pub(crate) fn patch(&mut self, id: Key, patch: &Patch, now: Duration) -> Result<(), Refusal> {
        let mut life = self.alive(id, now).ok_or(Refusal::Unknown)?.clone();
        let before = life.words.now();
        life.words.operator_asks(patch.clone());
        if life.words.now() != before {
            self.tell(id, ChangeKind::Changed, &life, None, Some(Word::Asked(patch.clone())));
        }
        self.live.insert(id, life);
        Ok(())
    }

    /// An end is obeyed also for a lease that is over and was not yet evicted: it ends either way.
    pub(crate) fn end(&mut self, id: Key, run: Option<Run>, now: Duration) -> Result<(), Refusal> {
        let Some(run) = run else {
            return if self.finish(id, Reason::Removed, now) { Ok(()) } else { Err(Refusal::Unknown) };
        };
        let refusal = self.refusal(id, run, now);
        let dialled = self.dialled.len();
        self.dialled.retain(|dialled| (dialled.1, dialled.2) != (id, Some(run)));
        let is_withdrawn = self.dialled.len() < dialled;
        let is_live = self.live.get(&id).is_some_and(|life| life.run == run);
        if is_live {
            self.finish(id, Reason::Deregistered, now);
        }
        if is_live || is_withdrawn { Ok(()) } else { Err(refusal) }
    }

    pub(crate) fn open(&mut self, link: LinkId) {
        self.open.insert(link);
    }

    pub(crate) fn hold(&mut self, id: Key, run: Run, link: LinkId, now: Duration) -> Result<Patch, Refusal> {
        if self.alive(id, now).is_none_or(|life| life.run != run) {
            return Err(Refusal::Unknown);
        }
        if self.is_suspect(id) {
            self.reached.insert("a suspect that a link held again");
        }
        let (life, open) = (self.live.get_mut(&id).unwrap(), &self.open);
        life.links.retain(|link| open.contains(link));
        if life.links.len() == MOST_LINKS {
            life.links.remove(0);
        }
        life.links.push(link);
        Ok(life.words.pending())
    }

    /// A link broke; `id` is one of those that it named.
    pub(crate) fn lose(&mut self, id: Key, link: LinkId, now: Duration) -> bool {
        self.open.remove(&link);
        let Some(life) = self.live.get(&id).filter(|life| life.links.contains(&link)) else {
            return false;
        };
        if !self.is_suspect(id) {
            self.reached.insert("a link lost while another one holds");
            return false;
        }
        let (run, port) = (life.run, life.port);
        if self.live.iter().any(|(other, later)| *other != id && later.port == port && later.run > run) {
            self.reached.insert("a suspect that was outlived when its link was lost");
            self.finish(id, Reason::Crashed, now);
        }
        true
    }

    pub(crate) fn refused(&mut self, id: Key, suspect: Suspect, now: Duration) {
        let is_same = self.live.get(&id).is_some_and(|life| {
            let is_same = (life.run, life.port) == (suspect.run, suspect.address.port());
            // The dial that was accepted came before the dial-back: one that came later, when the run has gone from its
            // address and come back, says that it lives.
            is_same && life.dialled && suspect.dialled
        });
        if is_same && self.is_suspect(id) {
            self.finish(id, Reason::Crashed, now);
        }
    }

    /// Called at most a second apart: so nothing ends later than that.
    pub(crate) fn evict(&mut self, now: Duration) {
        let over = |(id, life): (&Key, &Life)| (life.over() <= now).then_some((*id, life.over()));
        let over: Vec<_> = self.live.iter().filter_map(over).collect();
        for (id, over) in over {
            assert!(now - over < MOST_LATE, "id {id} ended {:?} late", now - over);
            self.finish(id, Reason::Expired, now);
        }
        self.stones.retain(|stone| now < stone.at + TOMBSTONE_LIFE);
    }

    /// How an id stands.
    pub(crate) fn seen(&self, id: Key) -> Option<Seen> {
        let life = self.live.get(&id)?;
        let (run, port, ttl) = (life.run, life.port, life.ttl);
        Some(Seen {
            run,
            port,
            ttl,
            over: life.over(),
            suspect: self.is_suspect(id).then_some(life.dialled),
            words: life.words.now(),
        })
    }

    /// The ended runs of an id, oldest first.
    pub(crate) fn stones(&self, id: Key, now: Duration) -> impl Iterator<Item = (Run, Reason)> + '_ {
        let stones =
            self.stones.iter().filter(move |stone| stone.id == id && now < stone.at + TOMBSTONE_LIFE);
        stones.map(|stone| (stone.run, stone.reason))
    }

    /// The ids that have a lease or a tombstone, whose time comes some day.
    pub(crate) fn timed(&self) -> BTreeSet<Key> {
        self.live.keys().copied().chain(self.stones.iter().map(|stone| stone.id)).collect()
    }

    /// The ids that are being dialled.
    pub(crate) fn dialled(&self) -> impl Iterator<Item = Key> + '_ {
        self.dialled.iter().map(|dialled| dialled.1)
    }

    fn admit(&self, id: Key, offer: &Offer, now: Duration) -> Result<Run, Refusal> {
        let live = self.alive(id, now);
        let Some(run) = offer.registration.run else {
            return Ok(match live {
                Some(life) if life.port == offer.registration.port => life.run,
                _ => self.next_run(id, offer, now),
            });
        };
        match (self.refusal(id, run, now), live) {
            (_, Some(life)) if life.run == run => Ok(run),
            (Refusal::Gone(reason), _) => Err(Refusal::Gone(reason)),
            (_, Some(life)) if life.run > run => Err(Refusal::Superseded { live: life.run }),
            _ => Ok(run),
        }
    }

    /// Later than every run of that id, though the wall clock went back or the dial took long.
    fn next_run(&self, id: Key, offer: &Offer, now: Duration) -> Run {
        let known = self.live.get(&id).map(|life| life.run).into_iter();
        let known = known.chain(self.stones(id, now).map(|(run, _)| run));
        known.map(|run| run.successor().unwrap()).chain([offer.fresh]).max().unwrap()
    }

    fn publish(&mut self, id: Key, offer: &Offer, run: Run, now: Duration) -> Put {
        if self.live.get(&id).is_some_and(|life| life.over() <= now) {
            self.reached.insert("a lease over before it was evicted");
            self.finish(id, Reason::Expired, now);
        }
        let before = self.live.get(&id).cloned();
        let lives = before.as_ref().is_some_and(|life| life.is_at(run, offer));
        let (links, mut words) = match &before {
            Some(life) if lives => (life.links.clone(), life.words.clone()),
            Some(life) if life.run == run => {
                // Its owner moved it, and knows.
                self.tell(id, ChangeKind::Left, life, Some(Reason::Replaced), None);
                (life.links.clone(), life.words.clone())
            }
            _ => {
                self.finish(id, Reason::Replaced, now);
                (Vec::new(), self.words_of_ended(id, run, now))
            }
        };
        self.stones.retain(|stone| (stone.id, stone.run) != (id, run));
        let pending = words.pending();
        words.owner_says(said(offer));
        if words.pending() != pending {
            self.reached.insert("a wish repeated by its owner");
        }
        let (port, ttl) = (offer.registration.port, offer.registration.ttl_s.duration());
        let wants_dial = offer.registration.verify == Verify::Tcp;
        let dialled = wants_dial && before.as_ref().filter(|_| lives).is_none_or(|life| life.dialled);
        let life = Life { run, port, ttl, renewed: now, links, dialled, words };
        if life.words.now() != said(offer) {
            self.reached.insert("a wish kept against its owner");
        }
        self.live.insert(id, life.clone());
        match before.filter(|_| lives) {
            Some(before) if (before.words.now(), before.ttl) == (life.words.now(), ttl) => {}
            Some(_) => self.tell(id, ChangeKind::Changed, &life, None, None),
            None => {
                self.tell(id, ChangeKind::Joined, &life, None, None);
                self.crash_outlived(id, run, port, now);
            }
        }
        Put::Published { run, joined: !lives }
    }

    fn words_of_ended(&mut self, id: Key, run: Run, now: Duration) -> Words {
        let mut stones = self.stones.iter().filter(|stone| now < stone.at + TOMBSTONE_LIFE);
        let words = stones.find(|stone| (stone.id, stone.run) == (id, run)).map(|stone| stone.words.clone());
        if words.as_ref().is_some_and(|words| words.pending() != Patch::default()) {
            self.reached.insert("a wish kept over the end of its run");
        }
        words.unwrap_or_default()
    }

    fn crash_outlived(&mut self, by: Key, later: Run, port: u16, now: Duration) {
        let others =
            self.live.iter().filter(|(id, life)| **id != by && life.port == port && life.run < later);
        let outlived: Vec<Key> = others.map(|(id, _)| *id).filter(|id| self.is_suspect(*id)).collect();
        for id in outlived {
            self.reached.insert("a suspect that was outlived when a later run joined");
            self.finish(id, Reason::Crashed, now);
        }
    }

    fn alive(&self, id: Key, now: Duration) -> Option<&Life> {
        self.live.get(&id).filter(|life| now < life.over())
    }

    fn is_suspect(&self, id: Key) -> bool {
        let links = &self.live[&id].links;
        !links.is_empty() && links.iter().all(|link| !self.open.contains(link))
    }

    fn refusal(&self, id: Key, run: Run, now: Duration) -> Refusal {
        let reason = self.stones(id, now).find(|(ended, _)| *ended == run).map(|(_, reason)| reason);
        match reason {
            Some(reason @ (Reason::Removed | Reason::Replaced)) => Refusal::Gone(reason),
            _ => Refusal::Unknown,
        }
    }

    /// Whether there was one to end.
    fn finish(&mut self, id: Key, reason: Reason, now: Duration) -> bool {
        let Some(life) = self.live.remove(&id) else { return false };
        self.tell(id, ChangeKind::Left, &life, Some(reason), Some(Word::Ended(reason)));
        self.stones.retain(|stone| (stone.id, stone.run) != (id, life.run));
        // Who ended on purpose begins anew, should it come back.
        let words = if reason.is_intent() { Words::default() } else { life.words };
        self.stones.push(Stone { id, run: life.run, reason, at: now, words });
        true
    }

    fn tell(&mut self, id: Key, kind: ChangeKind, life: &Life, reason: Option<Reason>, word: Option<Word>) {
        let links: Vec<_> = life.links.iter().copied().filter(|link| self.open.contains(link)).collect();
        let notice = word.filter(|_| !links.is_empty()).map(|word| Notice { links, word });
        self.told.push(Told { id, kind, run: life.run, port: life.port, reason, notice });
    }
}

impl Life {
    fn over(&self) -> Duration {
        self.renewed + self.ttl
    }

    fn is_at(&self, run: Run, offer: &Offer) -> bool {
        (self.run, self.port) == (run, offer.registration.port)
    }
}

fn said(offer: &Offer) -> Patch {
    let said = &offer.registration;
    Patch { draining: Some(said.draining), weight: Some(said.weight), meta: Some(said.meta.clone()) }
}
