use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use berth_model::{Instance, InstanceId, Patch, Reason, Registration, Run, ServiceName};

use crate::deadlines::Recheck;
use crate::tombstones::Tombstones;
use crate::{Event, Refusal};

/// What is known of one (service, id): its live run, if there is one, and the runs that ended lately.
#[derive(Clone, Debug, Default)]
pub struct Record {
    live: Option<Live>,
    tombstones: Tombstones,
    // Where it stands in the queue of deadlines; never later than what is really due.
    queued: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Live {
    instance: Arc<Instance>,
    // The last renewal plus the TTL: at this very time the lease is over.
    deadline: Duration,
}

/// A registration with what its sender did not say.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The service.
    pub service: ServiceName,
    /// The instance.
    pub id: InstanceId,
    /// What the owner says.
    pub registration: Registration,
    /// The address to publish: the registration's own, or the caller's.
    pub host: IpAddr,
    /// A run made just now, for an owner that sent none.
    pub fresh: Run,
}

/// A registration that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// What is published now.
    pub instance: Arc<Instance>,
    /// Whether this run or address was not live before.
    pub joined: bool,
    /// What changed, in this order; nothing when it only renewed the lease.
    pub events: Vec<Event>,
}

impl Record {
    /// Registers a run, or renews it and takes over what its owner says now.
    ///
    /// The same run at the same address stays the same life. A higher run, or a new address, replaces it.
    ///
    /// # Errors
    /// [`Refusal::Gone`] for a run that was removed or replaced, [`Refusal::Superseded`] for a lower run.
    pub fn register(&mut self, offer: Offer, now: Duration) -> Result<Accepted, Refusal> {
        let run = self.admit(&offer, now)?;
        let ttl = offer.registration.ttl_s.duration();
        let instance = Arc::new(offer.registration.into_instance(offer.service, offer.id, run, offer.host));
        let mut events = Vec::new();
        events.extend(self.expire(now));
        let deadline = now + ttl;
        let joined = match &mut self.live {
            Some(live) if is_same_life(&live.instance, &instance) => {
                live.deadline = deadline;
                if live.instance != instance {
                    live.instance = Arc::clone(&instance);
                    events.push(Event::changed(Arc::clone(&instance)));
                }
                false
            }
            _ => {
                events.extend(self.finish(Reason::Replaced, now));
                self.live = Some(Live { instance: Arc::clone(&instance), deadline });
                // Also the stone that a move to a new address has just set: the run goes on.
                self.tombstones.forget(run);
                events.push(Event::joined(Arc::clone(&instance)));
                true
            }
        };
        Ok(Accepted { instance, joined, events })
    }

    /// Makes the lease of a run live its whole TTL from now on.
    ///
    /// # Errors
    /// [`Refusal::Gone`] when the run was removed or replaced, [`Refusal::Unknown`] when it does not live.
    pub fn renew(&mut self, run: Run, now: Duration) -> Result<&Arc<Instance>, Refusal> {
        let refusal = self.refusal(run, now);
        let live = self.live.as_mut().filter(|live| live.instance.run == run && now < live.deadline);
        let live = live.ok_or(refusal)?;
        live.deadline = now + live.instance.ttl_s.duration();
        Ok(&live.instance)
    }

    /// Changes the live run; no event when it already is that way.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] when none lives.
    pub fn patch(&mut self, patch: &Patch, now: Duration) -> Result<(Arc<Instance>, Option<Event>), Refusal> {
        let live = self.live.as_mut().filter(|live| now < live.deadline).ok_or(Refusal::Unknown)?;
        let mut patched = Instance::clone(&live.instance);
        patch.apply(&mut patched);
        if patched == *live.instance {
            return Ok((Arc::clone(&live.instance), None));
        }
        live.instance = Arc::new(patched);
        Ok((Arc::clone(&live.instance), Some(Event::changed(Arc::clone(&live.instance)))))
    }

    /// Ends a run: with its number as its owner does (deregistered), without as an operator does (removed).
    /// The number of another run changes nothing, so that a slow stop never takes out a successor.
    ///
    /// # Errors
    /// [`Refusal::Gone`] when the run was removed or replaced, [`Refusal::Unknown`] when it does not live.
    pub fn end(&mut self, run: Option<Run>, now: Duration) -> Result<Event, Refusal> {
        let (reason, refusal) = match run {
            Some(run) => (Reason::Deregistered, self.refusal(run, now)),
            None => (Reason::Removed, Refusal::Unknown),
        };
        let named = self.live.as_ref().is_some_and(|live| run.is_none_or(|run| live.instance.run == run));
        let event = if named { self.finish(reason, now) } else { None };
        event.ok_or(refusal)
    }

    /// Ends the live run if its lease is over at `now`, and drops tombstones that are.
    pub fn expire(&mut self, now: Duration) -> Option<Event> {
        self.tombstones.purge(now);
        let over = self.live.as_ref().is_some_and(|live| now >= live.deadline);
        if over { self.finish(Reason::Expired, now) } else { None }
    }

    /// The instance of the live run.
    pub fn live(&self) -> Option<&Arc<Instance>> {
        self.live.as_ref().map(|live| &live.instance)
    }

    /// When the live run's lease is over, unless it is renewed.
    pub fn deadline(&self) -> Option<Duration> {
        self.live.as_ref().map(|live| live.deadline)
    }

    /// The runs that ended within the last [`crate::TOMBSTONE_LIFE`], oldest first.
    pub fn ended(&self, now: Duration) -> impl Iterator<Item = (Run, Reason)> + '_ {
        self.tombstones.iter(now)
    }

    /// Where the record must go in the queue of deadlines, if it must move: to be called after every change.
    /// A later time is no reason to move: the record is looked at early once, and queued again.
    pub fn recheck(&mut self) -> Option<Recheck> {
        let due = self.due()?;
        if self.queued.is_some_and(|queued| queued <= due) {
            return None;
        }
        Some(Recheck { from: self.queued.replace(due), to: due })
    }

    /// The queue has given the record out at the time where it stood.
    pub fn dequeued(&mut self, at: Duration) {
        if self.queued == Some(at) {
            self.queued = None;
        }
    }

    /// Whether nothing is known any more, so that the record can go.
    pub fn is_empty(&self) -> bool {
        self.due().is_none()
    }

    /// The run that an offer would register, if it may.
    fn admit(&self, offer: &Offer, now: Duration) -> Result<Run, Refusal> {
        let live = self.live.as_ref().filter(|live| now < live.deadline).map(|live| &live.instance);
        match (offer.registration.run, live) {
            (Some(run), Some(live)) if live.run == run => Ok(run),
            (Some(run), live) => match (self.refusal(run, now), live) {
                (Refusal::Gone(reason), _) => Err(Refusal::Gone(reason)),
                (_, Some(live)) if run < live.run => Err(Refusal::Superseded { live: live.run }),
                _ => Ok(run),
            },
            (None, Some(live)) if is_same_address(live, offer) => Ok(live.run),
            (None, _) => {
                // The wall clock may have gone back since the last run was made.
                let known = self.live().map(|live| live.run).into_iter();
                let known = known.chain(self.ended(now).map(|(run, _)| run));
                let next = known.max().map_or(Some(offer.fresh), |last| last.successor());
                // Past the last number there is only the refusal.
                match (next, live) {
                    (Some(next), _) => Ok(next.max(offer.fresh)),
                    (None, Some(live)) => Err(Refusal::Superseded { live: live.run }),
                    (None, None) => Ok(offer.fresh),
                }
            }
        }
    }

    /// What the owner of a run that does not live is told.
    fn refusal(&self, run: Run, now: Duration) -> Refusal {
        match self.tombstones.reason_of(run, now) {
            Some(reason @ (Reason::Removed | Reason::Replaced)) => Refusal::Gone(reason),
            _ => Refusal::Unknown,
        }
    }

    fn finish(&mut self, reason: Reason, now: Duration) -> Option<Event> {
        let ended = self.live.take()?.instance;
        self.tombstones.add(ended.run, reason, now);
        Some(Event::left(ended, reason))
    }

    fn due(&self) -> Option<Duration> {
        let lease = self.live.as_ref().map(|live| live.deadline);
        lease.into_iter().chain(self.tombstones.next_purge()).min()
    }
}

fn is_same_address(live: &Instance, offer: &Offer) -> bool {
    (live.scheme, live.host, live.port) == (offer.registration.scheme, offer.host, offer.registration.port)
}

fn is_same_life(old: &Instance, new: &Instance) -> bool {
    (old.run, old.scheme, old.host, old.port) == (new.run, new.scheme, new.host, new.port)
}
