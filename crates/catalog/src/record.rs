use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use berth_model::{Instance, Patch, Reason, Run, Verify};

use crate::asked::Asked;
use crate::deadlines::Recheck;
use crate::link::{LinkId, Links, Notice, Suspect, Word};
use crate::offer::{Accepted, Offer, Step, Ticket};
use crate::tombstones::Tombstones;
use crate::{Event, Refusal};

/// What is known of one (service, id): its live run, if there is one, and the runs that ended lately.
#[derive(Clone, Debug, Default)]
pub struct Record {
    live: Option<Live>,
    // Unpublished: their addresses are being dialled. Seldom more than one.
    verifying: Vec<(Ticket, Option<Run>)>,
    tombstones: Tombstones,
    // Where it stands in the queue of deadlines; never later than what is really due.
    queued: Option<Duration>,
}

/// What a change came to: the instance as it is now, the change, and otherwise what its owner must hear.
pub type Patched = (Arc<Instance>, Option<Event>, Option<Notice>);

#[derive(Clone, Debug)]
struct Live {
    instance: Arc<Instance>,
    // The last renewal plus the TTL: at this very time the lease is over.
    deadline: Duration,
    links: Links,
    asked: Asked,
    // Its address accepted a dial.
    dialled: bool,
}

impl Record {
    /// Registers a run, or renews it and takes over what its owner says now.
    ///
    /// The same run at the same address stays the same life. A higher run, or a new address, replaces it, once
    /// the new address was found to answer, unless the owner wants it unverified.
    ///
    /// # Errors
    /// [`Refusal::Gone`] for a run that was removed or replaced, [`Refusal::Superseded`] for a lower run.
    pub fn register(&mut self, offer: Offer, ticket: Ticket, now: Duration) -> Result<Step, Refusal> {
        let run = self.admit(&offer, now)?;
        let lives = self.live_at(now).is_some_and(|live| live.is_same_life(run, &offer));
        if !lives && offer.registration.verify == Verify::Tcp {
            self.verifying.push((ticket, offer.registration.run));
            return Ok(Step::Dial(Box::new(offer)));
        }
        Ok(Step::Accepted(self.publish(offer, run, now)))
    }

    /// Goes on with an offer whose address accepted the dial.
    ///
    /// # Errors
    /// As [`Self::register`], because others went on meanwhile; [`Refusal::Unknown`] when its owner ended the
    /// run before it was published.
    pub fn verified(&mut self, offer: Offer, ticket: Ticket, now: Duration) -> Result<Accepted, Refusal> {
        if !self.abandon(ticket) {
            return Err(Refusal::Unknown);
        }
        let run = self.admit(&offer, now)?;
        Ok(self.publish(offer, run, now))
    }

    /// Forgets an offer whose address did not answer, or whose sender went away. False if it was forgotten
    /// already.
    pub fn abandon(&mut self, ticket: Ticket) -> bool {
        let before = self.verifying.len();
        self.verifying.retain(|(waiting, _)| *waiting != ticket);
        self.verifying.len() < before
    }

    /// Makes the lease of a run live its whole TTL from now on.
    ///
    /// # Errors
    /// [`Refusal::Gone`] when the run was removed or replaced, [`Refusal::Unknown`] when it does not live.
    pub fn renew(&mut self, run: Run, now: Duration) -> Result<&Arc<Instance>, Refusal> {
        let refusal = self.refusal(run, now);
        let live = self.run_at(run, now).ok_or(refusal)?;
        live.deadline = now + live.instance.ttl_s.duration();
        Ok(&live.instance)
    }

    /// Changes the live run, as an operator does; when it already is that way there is no event, and only its
    /// owner must hear of it. The change holds until the owner has said the same.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] when none lives.
    pub fn patch(&mut self, patch: &Patch, now: Duration) -> Result<Patched, Refusal> {
        let live = self.live.as_mut().filter(|live| now < live.deadline).ok_or(Refusal::Unknown)?;
        let mut patched = Instance::clone(&live.instance);
        patch.apply(&mut patched);
        // Also when nothing changes: the owner may be about to say something else.
        live.asked.ask(patch);
        if patched == *live.instance {
            let notice = live.links.notice(|| Word::Asked(patch.clone()));
            return Ok((Arc::clone(&live.instance), None, notice));
        }
        live.instance = Arc::new(patched);
        let event = Event::asked(Arc::clone(&live.instance), &live.links, patch);
        Ok((Arc::clone(&live.instance), Some(event), None))
    }

    /// Ends a run: with its number as its owner does (deregistered), without as an operator does (removed).
    /// The number of another run changes nothing, so that a slow stop never takes out a successor. No event for
    /// a run that was not published yet, and now will not be.
    ///
    /// # Errors
    /// [`Refusal::Gone`] when the run was removed or replaced, [`Refusal::Unknown`] when it does not live.
    pub fn end(&mut self, run: Option<Run>, now: Duration) -> Result<Option<Event>, Refusal> {
        let (reason, refusal) = match run {
            Some(run) => (Reason::Deregistered, self.refusal(run, now)),
            None => (Reason::Removed, Refusal::Unknown),
        };
        let verifying = self.verifying.len();
        if run.is_some() {
            self.verifying.retain(|(_, waiting)| *waiting != run);
        }
        let withdrawn = self.verifying.len() < verifying;
        let named = self.live.as_ref().is_some_and(|live| run.is_none_or(|run| live.instance.run == run));
        let event = if named { self.finish(reason, now) } else { None };
        if event.is_none() && !withdrawn { Err(refusal) } else { Ok(event) }
    }

    /// Ends the live run if its lease is over at `now`, and drops tombstones that are.
    pub fn expire(&mut self, now: Duration) -> Option<Event> {
        self.tombstones.purge(now);
        let over = self.live.as_ref().is_some_and(|live| now >= live.deadline);
        if over { self.finish(Reason::Expired, now) } else { None }
    }

    /// A link of the owner names this run. Returns what its owner has yet to hear.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] when the run does not live; [`Self::reason_of`] tells more.
    pub fn hold(&mut self, run: Run, link: LinkId, now: Duration) -> Result<Option<Patch>, Refusal> {
        let live = self.run_at(run, now).ok_or(Refusal::Unknown)?;
        live.links.add(link);
        Ok(live.asked.pending().cloned())
    }

    /// A link broke. Returns the live run that only this link still held.
    pub fn lose(&mut self, link: LinkId) -> Option<Suspect> {
        let was_last = self.live.as_mut()?.links.remove(link);
        if was_last { self.suspect() } else { None }
    }

    /// The address of a suspect refused the dial-back: it crashed, unless a link holds it again. A refusal of an
    /// address that was never reached says nothing.
    pub fn refused(&mut self, suspect: Suspect, now: Duration) -> Option<Event> {
        let is_suspect = suspect.dialled && self.suspect() == Some(suspect);
        if is_suspect { self.finish(Reason::Crashed, now) } else { None }
    }

    /// A later run has this address: whoever had it before, and lost its link, crashed.
    pub fn outlived(&mut self, later: Run, address: SocketAddr, now: Duration) -> Option<Event> {
        let suspect = self.suspect()?;
        let is_outlived = suspect.address == address && suspect.run < later;
        if is_outlived { self.finish(Reason::Crashed, now) } else { None }
    }

    /// The live run, if its links broke.
    pub fn suspect(&self) -> Option<Suspect> {
        let live = self.live.as_ref().filter(|live| live.links.lost)?;
        let Live { instance, dialled, .. } = live;
        Some(Suspect { run: instance.run, address: instance.address(), dialled: *dialled })
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

    /// Why a run ended, if that is still known.
    pub fn reason_of(&self, run: Run, now: Duration) -> Option<Reason> {
        self.tombstones.reason_of(run, now)
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
        self.due().is_none() && self.verifying.is_empty()
    }

    fn publish(&mut self, offer: Offer, run: Run, now: Duration) -> Accepted {
        let mut events = Vec::new();
        events.extend(self.expire(now));
        match &mut self.live {
            Some(live) if live.is_same_life(run, &offer) => {
                events.extend(live.say(offer, now));
                Accepted { instance: Arc::clone(&live.instance), joined: false, events }
            }
            _ => {
                let (left, instance) = self.replace(offer, run, now);
                events.extend(left);
                events.push(Event::joined(Arc::clone(&instance)));
                Accepted { instance, joined: true, events }
            }
        }
    }

    fn replace(&mut self, mut offer: Offer, run: Run, now: Duration) -> (Option<Event>, Arc<Instance>) {
        // A run that moves to another address need not be told, and keeps its link.
        let moving = self.live.as_mut().filter(|live| live.instance.run == run);
        let kept = moving.map(|live| (std::mem::take(&mut live.links), std::mem::take(&mut live.asked)));
        let left = self.finish(Reason::Replaced, now);
        // The stone is gone, because the run goes on; what was asked of it before its end still holds.
        let before = self.tombstones.forget(run).unwrap_or_default();
        let (links, mut asked) = kept.unwrap_or((Links::default(), before));
        asked.hear(&mut offer.registration);
        let deadline = now + offer.registration.ttl_s.duration();
        let dialled = offer.registration.verify == Verify::Tcp;
        let instance = offer.into_instance(run);
        self.live = Some(Live { instance: Arc::clone(&instance), deadline, links, asked, dialled });
        (left, instance)
    }

    /// The run that an offer would register, if it may.
    fn admit(&self, offer: &Offer, now: Duration) -> Result<Run, Refusal> {
        let live = self.live_at(now);
        match (offer.registration.run, live.map(|live| &live.instance)) {
            (Some(run), Some(live)) if live.run == run => Ok(run),
            (Some(run), live) => match (self.refusal(run, now), live) {
                (Refusal::Gone(reason), _) => Err(Refusal::Gone(reason)),
                (_, Some(live)) if run < live.run => Err(Refusal::Superseded { live: live.run }),
                _ => Ok(run),
            },
            (None, Some(known)) if live.is_some_and(|live| live.is_at(offer)) => Ok(known.run),
            (None, live) => {
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

    fn live_at(&self, now: Duration) -> Option<&Live> {
        self.live.as_ref().filter(|live| now < live.deadline)
    }

    fn run_at(&mut self, run: Run, now: Duration) -> Option<&mut Live> {
        self.live.as_mut().filter(|live| live.instance.run == run && now < live.deadline)
    }

    fn finish(&mut self, reason: Reason, now: Duration) -> Option<Event> {
        let ended = self.live.take()?;
        self.tombstones.add(ended.instance.run, reason, ended.asked, now);
        Some(Event::left(ended.instance, &ended.links, reason))
    }

    fn due(&self) -> Option<Duration> {
        let lease = self.live.as_ref().map(|live| live.deadline);
        lease.into_iter().chain(self.tombstones.next_purge()).min()
    }
}

impl Live {
    /// Takes over what the owner says now.
    fn say(&mut self, mut offer: Offer, now: Duration) -> Option<Event> {
        self.asked.hear(&mut offer.registration);
        self.deadline = now + offer.registration.ttl_s.duration();
        self.dialled &= offer.registration.verify == Verify::Tcp;
        let instance = offer.into_instance(self.instance.run);
        if self.instance == instance {
            return None;
        }
        self.instance = Arc::clone(&instance);
        Some(Event::changed(instance))
    }

    fn is_same_life(&self, run: Run, offer: &Offer) -> bool {
        self.instance.run == run && self.is_at(offer)
    }

    fn is_at(&self, offer: &Offer) -> bool {
        let said = &offer.registration;
        (self.instance.scheme, self.instance.host, self.instance.port) == (said.scheme, offer.host, said.port)
    }
}
