//! What the balancer has seen of one endpoint since it knows it, and what follows by the table.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_fleet::{CheckId, Class, Probed, State, Turn, Why};

use super::heard::{Dropped, Word};

/// Not listed: since when, by the count of events, and what was said last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unlisted {
    pub(crate) since: Duration,
    event: u64,
    why: Dropped,
    /// An answer is asked for before it is anything.
    owes_proof: bool,
    /// What was answered began in the same moment.
    may_have_proof: bool,
    pub(crate) silences: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) unlisted: Option<Unlisted>,
    is_draining: bool,
    is_listed: bool,
    /// Known only from before the start, and silent since.
    has_never_answered: bool,
    pub(crate) is_refused_unseen: bool,
    /// The last connection was refused, and two answers have not come since.
    pub(crate) is_refused: bool,
    /// The same, whatever was met in between.
    has_refused: bool,
    /// A probe was not answered, and two answers have not come since: that counts where there was a doubt.
    may_be_silent: bool,
    has_penalty: bool,
    streak: u32,
    checks: BTreeMap<CheckId, (u32, u32, bool)>,
    pub(crate) told: Option<State>,
    /// When something began to be known, or was answered, by which limits run.
    pub(crate) waits_since: Duration,
}

impl Facts {
    pub(crate) fn new(now: Duration, word: Word) -> Self {
        let has_never_answered = matches!(word, Word::Remembered { .. });
        let mut facts = Self { has_never_answered, waits_since: now, ..Self::default() };
        facts.hear(now, 0, word, None);
        facts
    }

    /// Sources have spoken.
    pub(crate) fn hear(&mut self, now: Duration, event: u64, word: Word, why: Option<Dropped>) {
        if let Word::Listed { is_draining } | Word::Remembered { is_draining } = word {
            self.is_draining = is_draining;
        }
        let was_listed = std::mem::replace(&mut self.is_listed, matches!(word, Word::Listed { .. }));
        match word {
            Word::Listed { .. } => (self.unlisted, self.has_never_answered) = (None, false),
            // The state file is no registry that lists it.
            Word::Remembered { .. } if !was_listed => {}
            Word::Remembered { .. } | Word::Unlisted if self.unlisted.is_none() => {
                let why = why.unwrap_or(Dropped::Absent);
                let owes_proof = why == Dropped::Crashed || self.has_never_answered;
                let (since, may_have_proof, silences) = (now, false, 0);
                self.unlisted = Some(Unlisted { since, event, why, owes_proof, may_have_proof, silences });
                self.waits_since = now;
            }
            _ => {}
        }
    }

    pub(crate) fn refused(&mut self, all_away: bool) {
        (self.is_refused, self.has_refused, self.may_be_silent, self.streak) = (true, true, false, 0);
        self.is_refused_unseen |= all_away;
    }

    pub(crate) fn probed(
        &mut self,
        now: Duration,
        (began, event): (Duration, u64),
        check: Option<CheckId>,
        probed: Probed,
    ) {
        if let Some(id) = check {
            let (good, bad, down) = self.checks.entry(id).or_default();
            if matches!(probed, Probed::Answered { is_expected: true, .. }) {
                (*good, *bad, *down) = (*good + 1, 0, *down && *good + 1 < 2);
            } else {
                (*good, *bad, *down) = (0, *bad + 1, *down || *bad + 1 >= 3);
            }
        }
        match probed {
            Probed::Answered { .. } => {
                self.streak += 1;
                self.waits_since = now;
                if self.streak >= 2 {
                    (self.is_refused, self.has_refused, self.may_be_silent) = (false, false, false);
                }
                match &mut self.unlisted {
                    Some(unlisted) if unlisted.owes_proof && began == unlisted.since => {
                        unlisted.may_have_proof = event > unlisted.event;
                    }
                    Some(unlisted) if unlisted.owes_proof && began < unlisted.since => {}
                    Some(unlisted) => {
                        (unlisted.owes_proof, unlisted.silences) = (false, 0);
                        self.has_never_answered = false;
                    }
                    None => self.has_never_answered = false,
                }
            }
            Probed::Refused => {}
            Probed::Unanswered => {
                self.streak = 0;
                if check.is_none() {
                    (self.may_be_silent, self.is_refused) = (true, false);
                    if let Some(unlisted) =
                        self.unlisted.as_mut().filter(|it| !it.owes_proof || it.may_have_proof)
                    {
                        unlisted.silences += 1;
                    }
                }
            }
        }
    }

    pub(crate) fn turned(&mut self, turn: &Turn) {
        assert_eq!(turn.from, self.told, "{turn:?} does not follow what was told");
        assert!(turn.to.is_none() || turn.from.is_none() || turn.to != turn.from || turn.to == self.told);
        self.told = turn.to;
        self.has_penalty = matches!(turn.why, Why::Failures { .. });
    }

    /// Checks that are not asked for any more are forgotten.
    pub(crate) fn keep_checks(&mut self, wanted: &[CheckId]) {
        self.checks.retain(|id, _| wanted.contains(id));
    }

    /// Whether the word of some registry stands for it: rows 3, 6, 7 and 8 are not about those.
    pub(crate) fn is_confirmed_by(&self, word: Word) -> bool {
        matches!(word, Word::Listed { .. }) && !self.is_refused_unseen
    }

    /// What it is by the table where this check decides. The second is what it may be as well.
    pub(crate) fn expected(&self, word: Word, check: Option<CheckId>) -> (Class, Class) {
        if self.is_draining || self.has_never_answered {
            return (Class::Barred, Class::Barred);
        }
        let may_have_proof = self.unlisted.is_some_and(|it| it.may_have_proof);
        let owes_proof = self.unlisted.is_some_and(|it| it.owes_proof);
        let is_down = check.and_then(|id| self.checks.get(&id)).is_some_and(|(.., down)| *down);
        if self.is_refused || self.has_penalty || is_down || owes_proof {
            let is_sure = self.is_refused || self.has_penalty || is_down || !may_have_proof;
            return (Class::Ejected, if is_sure { Class::Ejected } else { Class::Unconfirmed });
        }
        let class = if self.is_confirmed_by(word) && self.unlisted.is_none() {
            Class::Confirmed
        } else {
            Class::Unconfirmed
        };
        (class, if self.may_be_silent { Class::Ejected } else { class })
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// When it must be gone if nothing more is heard of it.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.unlisted.is_some_and(|unlisted| {
            unlisted.silences >= 3 && !unlisted.owes_proof
                || unlisted.owes_proof && now > unlisted.since + Duration::from_millis(30_100)
                || now > self.waits_since + Duration::from_secs(45)
        })
    }

    /// Whether rows 5, 7 and 8 let it go for this reason.
    pub(crate) fn may_go(&self, now: Duration, why: Why, is_placed: bool) -> bool {
        let Some(unlisted) = self.unlisted else { return false };
        let said = matches!(
            (why, unlisted.why),
            (Why::Crashed | Why::CrashedAnswers | Why::Expired | Why::Absent | Why::Remembered, _)
        );
        match why {
            Why::NeverAnswered => {
                unlisted.silences >= 3
                    || unlisted.owes_proof && now >= unlisted.since + Duration::from_secs(30)
            }
            Why::TooLong => now >= unlisted.since + Duration::from_secs(600),
            _ => said && (self.has_refused || !is_placed),
        }
    }
}
