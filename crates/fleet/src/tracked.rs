//! One endpoint: what the sources say of it, what was seen of it, and what follows for who chooses.

use std::sync::Arc;
use std::time::Duration;

use berth_model::{Instance, Run};
use berth_pick::{Chance, Endpoint, Signal};

use crate::agenda::{Dues, Rank};
use crate::checked::{CheckId, Checked};
use crate::choice::Class;
use crate::failures::{Penalties, Watched};
use crate::probing::{Pace, Probing};
use crate::source::Gone;
use crate::sources::Word;
use crate::standing::Standing;
use crate::told::{State, View, Why};
use crate::{Membership, Probed};

/// So many answered probes in a row bring back an endpoint that was ejected for what traffic and probes met.
const RISE: u32 = 2;

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) instance: Arc<Instance>,
    draining: bool,
    pub(crate) standing: Standing,
    pub(crate) ejection: Option<Ejection>,
    /// Something has raised a doubt that no probe has settled yet.
    is_doubted: bool,
    pub(crate) watched: Option<Watched>,
    penalties: Penalties,
    pub(crate) life: Probing,
    pub(crate) place: Option<Place>,
    told: Option<(State, Why)>,
    since: Duration,
    /// Its places in the agenda.
    pub(crate) due: Dues,
}

/// Where an endpoint may be chosen.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) memberships: Vec<Membership>,
    /// What it is in each of them.
    pub(crate) classes: Vec<Class>,
    pub(crate) checks: Vec<Checked>,
}

/// Why an endpoint is out for what was seen of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ejection {
    pub(crate) why: Why,
    since: Duration,
    /// It does not come back before.
    until: Duration,
}

/// What becomes of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    Goes(Why),
}

impl Ejection {
    /// Since when.
    pub(crate) fn since(&self) -> Duration {
        self.since
    }

    pub(crate) fn is_for_failures(&self) -> bool {
        matches!(self.why, Why::Failures { .. })
    }
}

impl Tracked {
    pub(crate) fn new(now: Duration, instance: Arc<Instance>, draining: bool, is_remembered: bool) -> Self {
        let standing = if is_remembered { Standing::Remembered { answers: false } } else { Standing::Listed };
        Self {
            instance,
            draining,
            standing,
            ejection: None,
            is_doubted: false,
            watched: None,
            penalties: Penalties::default(),
            life: Probing::default(),
            place: None,
            told: None,
            since: now,
            due: Dues::default(),
        }
    }

    /// The sources' word has changed, or was said again. Rows 1, 2, 5, 7, 8 and 10.
    pub(crate) fn hear(&mut self, now: Duration, word: Word) -> Fate {
        match word {
            Word::Listed { instance, draining, is_remembered, is_current, gone } => {
                (self.instance, self.draining) = (instance, draining);
                match self.standing {
                    Standing::Remembered { .. } if is_remembered => {}
                    // A memory does not speak against the registry that listed it and does not now.
                    _ if is_remembered => return self.lose(now, gone),
                    Standing::RefusedUnseen if !is_current => {}
                    _ => self.standing = Standing::Listed,
                }
                Fate::Stays
            }
            Word::Gone(gone) => self.lose(now, gone),
        }
    }

    fn lose(&mut self, now: Duration, gone: Gone) -> Fate {
        match gone {
            Gone::Ended(reason) if reason.is_intent() => return Fate::Goes(gone.into()),
            Gone::Withdrawn => return Fate::Goes(gone.into()),
            // Whoever names a server knows best.
            Gone::Absent if self.instance.run == Run::STATIC => return Fate::Goes(Why::Withdrawn),
            Gone::Ended(_) | Gone::Absent => {}
        }
        let was_refused = self.ejection.is_some_and(|ejection| ejection.why == Why::Refused);
        let is_wanted = self.place.as_ref().is_some_and(|place| !place.memberships.is_empty());
        if was_refused || !is_wanted {
            return Fate::Goes(gone.into());
        }
        self.standing = match (self.standing, Why::from(gone)) {
            (Standing::Suspect { .. }, _) => return Fate::Stays,
            (Standing::Remembered { answers: false }, _) => {
                Standing::gone(Why::Remembered, self.proof_from(now))
            }
            // What is known of it is not forgotten because it is said again.
            (Standing::Unlisted { .. }, Why::Absent) => return Fate::Stays,
            (Standing::Unlisted { since, silences, .. }, why) if why != Why::Crashed => {
                Standing::Unlisted { why, since, silences }
            }
            (_, why) => Standing::gone(why, self.proof_from(now)),
        };
        Fate::Stays
    }

    /// When a probe has to begin to prove that it lives after this event.
    fn proof_from(&self, now: Duration) -> Duration {
        let checks = self.place.iter().flat_map(|place| &place.checks).map(|check| check.under_way);
        let mut under_way = checks.chain([self.life.under_way]);
        // A coarse clock reads the same before and after the event.
        let has_begun_now = under_way.any(|began| began == Some(now));
        if has_begun_now { now + Duration::from_nanos(1) } else { now }
    }

    /// It refused a connection of ours. Rows 4, 5 and 6.
    pub(crate) fn refused(&mut self, now: Duration, registries_away: bool) -> Fate {
        if self.standing.is_gone() {
            return Fate::Goes(self.standing.doubt().unwrap_or(Why::Refused));
        }
        // Whoever was only remembered comes back as unconfirmed anyhow.
        let is_listed = self.standing == Standing::Listed;
        if is_listed && registries_away && self.instance.run != Run::STATIC {
            self.standing = Standing::RefusedUnseen;
        }
        (self.is_doubted, self.life.good) = (false, 0);
        self.eject(now, Why::Refused, now);
        Fate::Stays
    }

    /// Traffic has met something there that is no refusal. Returns whether failures are watched from now on.
    pub(crate) fn signalled(&mut self, now: Duration, signal: Signal) {
        self.is_doubted |= self.ejection.is_none();
        if signal != Signal::Silent
            && self.watched.is_none()
            && let Some(place) = &self.place
        {
            let (requests, failures) = (place.endpoint.requests(), place.endpoint.signals().failures());
            // The one that was met counts.
            self.watched = Some(Watched::begin(now, requests.saturating_sub(1), failures.saturating_sub(1)));
        }
    }

    /// A probe has ended. Rows 7, 8 and 9; and 4 to 6 if it was refused.
    pub(crate) fn probed(
        &mut self,
        now: Duration,
        began: Duration,
        probed: Probed,
        registries_away: bool,
    ) -> Fate {
        match probed {
            Probed::Refused => return self.refused(now, registries_away),
            Probed::Answered { .. } => {
                self.standing.answered(began);
                self.is_doubted = false;
                let may_return = |ejection: &Ejection| self.life.good >= RISE && now >= ejection.until;
                if self.ejection.as_ref().is_some_and(may_return) {
                    self.ejection = None;
                }
                self.give_up(false);
            }
            Probed::Unanswered => {
                if self.standing.was_silent() {
                    self.give_up(true);
                    return Fate::Goes(Why::NeverAnswered);
                }
                let has_penalty = self.ejection.is_some_and(|ejection| ejection.is_for_failures());
                let must_answer = self.is_doubted || has_penalty || self.standing != Standing::Listed;
                self.is_doubted = false;
                if must_answer {
                    self.eject(now, Why::Unanswered, now);
                }
                // Whoever waits there need not; also where it was out for something else.
                if self.ejection.is_some() {
                    self.give_up(true);
                }
            }
        }
        Fate::Stays
    }

    /// Counts its failures, if they are watched: which part of its requests, and whether they are watched on.
    pub(crate) fn count_failures(&mut self, now: Duration, endpoint: &Endpoint) -> Option<(f64, bool)> {
        let watched = self.watched.as_mut()?;
        let goes_on = watched.count(now, endpoint.requests(), endpoint.signals().failures());
        let rate = watched.rate();
        if !goes_on {
            self.watched = None;
        }
        Some((rate, goes_on))
    }

    /// It fails more than the others: it is out for a while.
    pub(crate) fn fail(&mut self, now: Duration) {
        let Some((failed, of)) = self.watched.as_ref().map(Watched::of_late) else { return };
        let until = self.penalties.next(now);
        self.watched = None;
        self.eject(now, Why::Failures { failed, of }, until);
    }

    fn eject(&mut self, now: Duration, why: Why, until: Duration) {
        // Whatever is met meanwhile takes the place of a penalty, which is capped as nothing else is.
        let since = self.ejection.filter(|before| before.why == why).map_or(now, |before| before.since);
        self.ejection = Some(Ejection { why, since, until });
    }

    fn give_up(&self, is_given_up: bool) {
        if let Some(place) = &self.place {
            place.endpoint.signals().give_up(is_given_up);
        }
    }

    /// Whether nobody need wait for it.
    pub(crate) fn is_given_up(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.endpoint.signals().is_given_up())
    }

    /// Plans its next probe.
    pub(crate) fn plan(&mut self, now: Duration, chance: &mut Chance) {
        let is_wanted = self.place.as_ref().is_some_and(|place| !place.memberships.is_empty());
        let pace = match self.standing {
            _ if !is_wanted => None,
            Standing::Suspect { .. } | Standing::Remembered { answers: false } => Some(Pace::Return),
            // Its silences are to be counted at a pace that leaves it time to come to itself.
            Standing::Unlisted { .. } if self.ejection.is_some() && self.life.good == 0 => Some(Pace::Steady),
            _ if self.ejection.is_some() => Some(Pace::Return),
            _ if self.is_doubted => Some(Pace::Doubt),
            Standing::Unlisted { .. } => Some(Pace::Steady),
            Standing::Listed | Standing::RefusedUnseen | Standing::Remembered { .. } => None,
        };
        self.life.plan(now, pace, chance);
    }

    /// When something is to be done about it.
    pub(crate) fn next(&self, now: Duration) -> Dues {
        let mut dues = Dues::default();
        let limit = self.standing.limit().filter(|limit| *limit > now);
        limit.into_iter().chain(self.life.lost_at()).for_each(|at| dues.add(Rank::Limit, at));
        self.life.next().into_iter().for_each(|at| dues.add(self.life_rank(), at));
        for check in self.place.iter().flat_map(|place| &place.checks) {
            dues.add(check.rank(self.ejection.is_some()), check.next());
        }
        dues
    }

    /// How urgent its next probe is.
    pub(crate) fn life_rank(&self) -> Rank {
        let owes_proof =
            matches!(self.standing, Standing::Suspect { .. } | Standing::Remembered { answers: false });
        let was_asked = self.ejection.is_some() || owes_proof && !self.life.is_first();
        if self.life.is_for_doubt() {
            Rank::Doubt
        } else if was_asked && self.life.good == 0 {
            Rank::Return
        } else {
            // Whoever has answered answers again, most likely, and soon.
            Rank::Other
        }
    }

    /// It goes by another endpoint from now on: what was counted at the one before says nothing, and what comes of its
    /// probes is not heard.
    pub(crate) fn forget_endpoint(&mut self) {
        self.watched = None;
        self.life.under_way = None;
        let checks = self.place.iter_mut().flat_map(|place| &mut place.checks);
        checks.for_each(|check| check.under_way = None);
    }

    /// What it is where this check decides.
    pub(crate) fn class(&self, check: Option<CheckId>) -> Class {
        if self.draining || self.standing.has_never_answered() {
            return Class::Barred;
        }
        let mut checks = self.place.iter().flat_map(|place| &place.checks);
        let is_down = check.is_some_and(|id| checks.any(|it| it.id == id && it.down.is_some()));
        if self.ejection.is_some() || is_down || matches!(self.standing, Standing::Suspect { .. }) {
            return Class::Ejected;
        }
        if self.standing == Standing::Listed { Class::Confirmed } else { Class::Unconfirmed }
    }

    /// What is told of it.
    fn state(&self) -> (State, Why) {
        let is_suspect = matches!(self.standing, Standing::Suspect { .. });
        match (self.ejection, self.standing.doubt()) {
            _ if self.draining => (State::Draining, Why::Draining),
            (Some(ejection), _) => (State::Ejected, ejection.why),
            (None, Some(why)) if is_suspect => (State::Ejected, why),
            (None, Some(why)) if self.standing.has_never_answered() => (State::Unconfirmed, why),
            (None, doubt) => match (self.down_everywhere(), doubt) {
                (Some(bad), _) => (State::Ejected, Why::Checks(bad)),
                (None, Some(why)) => (State::Unconfirmed, why),
                (None, None) => (State::Confirmed, Why::Listed),
            },
        }
    }

    /// After how many bad answers the checks of all its groups have taken it out; none if it is in one group still.
    fn down_everywhere(&self) -> Option<u32> {
        let place = self.place.as_ref()?;
        let down = |(id, _)| place.checks.iter().find(|check| check.id == id)?.down;
        let bad = place.memberships.iter().map(|it| it.check.and_then(down).map(|(_, bad)| bad));
        bad.collect::<Option<Vec<u32>>>()?.into_iter().min()
    }

    /// Its state, if that is not what was told: with the state that was.
    pub(crate) fn turn(&mut self, now: Duration) -> Option<(Option<State>, State, Why)> {
        let (state, why) = self.state();
        if self.told == Some((state, why)) {
            return None;
        }
        let from = self.told.replace((state, why)).map(|(state, _)| state);
        self.since = now;
        Some((from, state, why))
    }

    /// What it was told to be.
    pub(crate) fn told_state(&self) -> Option<State> {
        self.told.map(|(state, _)| state)
    }

    pub(crate) fn view(&self) -> View {
        let (state, why) = self.state();
        View { state, why, since: self.since, last_probe: self.life.last, is_doubted: self.is_doubted }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    /// The key of its endpoint, if it has a place.
    pub(crate) fn key(&self) -> Option<u64> {
        self.place.as_ref().map(|place| place.endpoint.key())
    }
}
