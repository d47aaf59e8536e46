//! The shadow model: a list of what was said, asked anew each time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use berth_catalog::{Offer, Refusal, TOMBSTONE_LIFE};
use berth_model::{Instance, Reason, Run};

pub(crate) type Key = u8;

#[derive(Clone, Debug, PartialEq)]
struct Life {
    run: Run,
    port: u16,
    weight: u16,
    draining: bool,
    renewed: Duration,
    ttl: Duration,
}

#[derive(Default)]
pub(crate) struct Shadow {
    live: BTreeMap<Key, Life>,
    ended: Vec<(Key, Run, Reason, Duration)>,
}

pub(crate) fn run(number: u64) -> Run {
    number.to_string().parse().unwrap()
}

impl Shadow {
    pub(crate) fn put(&mut self, id: Key, offer: &Offer, now: Duration) -> Result<Run, Refusal> {
        let said = &offer.registration;
        let live = self.alive(id, now).cloned();
        let run = match (said.run, &live) {
            (Some(run), Some(live)) if run == live.run => run,
            (Some(run), _) if self.is_gone(id, run, now).is_some() => return Err(self.refusal(id, run, now)),
            (Some(run), Some(live)) if run < live.run => return Err(Refusal::Superseded { live: live.run }),
            (Some(run), _) => run,
            (None, Some(live)) if live.port == said.port => live.run,
            // The walk's fresh runs are higher than all others.
            (None, _) => offer.fresh,
        };
        if self.live.contains_key(&id) && live.is_none() {
            self.bury(id, Reason::Expired, now);
        }
        match live {
            Some(live) if (live.run, live.port) == (run, said.port) => {}
            Some(_) => self.bury(id, Reason::Replaced, now),
            None => {}
        }
        self.ended.retain(|stone| (stone.0, stone.1) != (id, run));
        let (port, weight, draining) = (said.port, said.weight, said.draining);
        self.live.insert(id, Life { run, port, weight, draining, renewed: now, ttl: said.ttl_s.duration() });
        Ok(run)
    }

    pub(crate) fn renew(&mut self, id: Key, run: Run, now: Duration) -> Result<(), Refusal> {
        if self.alive(id, now).is_none_or(|live| live.run != run) {
            return Err(self.refusal(id, run, now));
        }
        self.live.get_mut(&id).unwrap().renewed = now;
        Ok(())
    }

    pub(crate) fn drain(&mut self, id: Key, draining: bool, now: Duration) -> bool {
        let alive = self.alive(id, now).is_some();
        if alive {
            self.live.get_mut(&id).unwrap().draining = draining;
        }
        alive
    }

    /// An end is obeyed also for a lease that ran out and was not yet evicted: it ends either way.
    pub(crate) fn end(&mut self, id: Key, run: Option<Run>, now: Duration) -> Result<(), Refusal> {
        let live = self.live.get(&id).map(|live| live.run);
        match (run, live) {
            (None, Some(_)) => self.bury(id, Reason::Removed, now),
            (Some(run), Some(live)) if run == live => self.bury(id, Reason::Deregistered, now),
            (None, None) => return Err(Refusal::Unknown),
            (Some(run), _) => return Err(self.refusal(id, run, now)),
        }
        Ok(())
    }

    pub(crate) fn evict(&mut self, now: Duration) {
        let over: Vec<Key> = self.live.keys().copied().filter(|id| self.alive(*id, now).is_none()).collect();
        over.into_iter().for_each(|id| self.bury(id, Reason::Expired, now));
    }

    pub(crate) fn check(&self, live: &[(Key, &Arc<Instance>)], deadlines: &BTreeMap<Key, Duration>) {
        let seen = |(id, instance): &(Key, &Arc<Instance>)| {
            let ttl = instance.ttl_s.duration();
            let (run, port, weight) = (instance.run, instance.port, instance.weight);
            // A life is renewed at one time only; its deadline tells it.
            let renewed = deadlines[id] - ttl;
            (*id, Life { run, port, weight, draining: instance.draining, renewed, ttl })
        };
        assert_eq!(live.iter().map(seen).collect::<BTreeMap<_, _>>(), self.live);
    }

    pub(crate) fn stones(&self, id: Key, now: Duration) -> BTreeMap<Run, Reason> {
        let fresh = self.ended.iter().filter(|stone| stone.0 == id && now < stone.3 + TOMBSTONE_LIFE);
        fresh.map(|stone| (stone.1, stone.2)).collect()
    }

    fn alive(&self, id: Key, now: Duration) -> Option<&Life> {
        self.live.get(&id).filter(|live| now < live.renewed + live.ttl)
    }

    fn is_gone(&self, id: Key, run: Run, now: Duration) -> Option<Reason> {
        let stones = self.stones(id, now);
        let reason = stones.into_iter().find(|stone| stone.0 == run)?.1;
        matches!(reason, Reason::Removed | Reason::Replaced).then_some(reason)
    }

    fn refusal(&self, id: Key, run: Run, now: Duration) -> Refusal {
        self.is_gone(id, run, now).map_or(Refusal::Unknown, Refusal::Gone)
    }

    fn bury(&mut self, id: Key, reason: Reason, now: Duration) {
        let life = self.live.remove(&id).unwrap();
        self.ended.retain(|stone| (stone.0, stone.1) != (id, life.run));
        self.ended.push((id, life.run, reason, now));
    }
}
