//! What must hold after every step.

use std::collections::BTreeSet;
use std::time::Duration;

use berth_fleet::{Class, State, Tier, Turn, Why};
use berth_model::Identity;

use super::heard::Word;
use super::walk::{Placed, Walk};

/// After so long an answering process has been seen to answer, whatever was thought of it before.
const SEEN_AFTER: Duration = Duration::from_secs(4);

const ABLE: [Class; 3] = [Class::Confirmed, Class::Unconfirmed, Class::Ejected];

impl Walk {
    pub(crate) fn judge(&mut self) {
        let present: Vec<Identity> = self.fleet.identities().cloned().collect();
        for identity in &present {
            self.judge_one(identity);
        }
        let known: BTreeSet<Identity> = present.into_iter().collect();
        for identity in self.heard.identities() {
            // Rows 1, 4, 6 and 9: whoever is listed stays.
            let is_listed = matches!(self.heard.word(&identity), Word::Listed { .. });
            let made_way = || self.made_way.contains(&identity);
            assert!(!is_listed || known.contains(&identity) || made_way(), "{identity:?} is listed and gone");
        }
        self.judge_groups(&known);
    }

    fn judge_one(&mut self, identity: &Identity) {
        let (word, now) = (self.heard.word(identity), self.now);
        assert_ne!(word, Word::Intended, "row 1: {identity} is there");
        let facts = &self.facts[identity];
        let view = self.fleet.view(identity).unwrap();
        let is_placed = !self.placed[identity].is_empty();
        assert!(!is_placed || !facts.is_over(now), "rows 7 and 8: {identity} is still there: {facts:?}");
        assert!(
            !(facts.unlisted.is_some() && facts.is_refused && is_placed),
            "row 5: {identity} is there: {facts:?}"
        );
        if !facts.is_confirmed_by(word) {
            let latest = self.latest_at(identity);
            assert!(latest.is_none_or(|run| run <= identity.run), "row 3: {identity} is there");
        }
        let mut classes = self.fleet.classes(identity).iter();
        for (group, check) in &self.placed[identity] {
            let (class, expected) = (*classes.next().unwrap(), facts.expected(word, *check));
            assert!(
                class == expected.0 || class == expected.1,
                "{identity} is {class:?} in {group} and not {expected:?}: {word:?}, {facts:?}, {view:?}"
            );
        }
        assert!(classes.next().is_none());
        if let Some(unlisted) = facts.unlisted.filter(|it| now > it.since + Duration::from_secs(603)) {
            let has_others = |(group, _): &(&'static str, _)| self.count(group, Class::Confirmed) > 0;
            assert!(
                !self.placed[identity].iter().all(has_others),
                "row 8: nobody needs {identity}: {unlisted:?}"
            );
        }
        assert_eq!(view.state == State::Draining, facts.is_draining(), "row 2: {identity}, {view:?}");
    }

    /// The latest run that is listed at the same address.
    fn latest_at(&self, identity: &Identity) -> Option<berth_model::Run> {
        let is_there = |it: &&Identity| it.address() == identity.address();
        let is_listed = |it: &&Identity| self.facts[*it].is_confirmed_by(self.heard.word(it));
        self.fleet.identities().filter(is_there).filter(is_listed).map(|it| it.run).max()
    }

    pub(crate) fn count(&self, group: &str, class: Class) -> usize {
        let is_it = |(it, found): &(&Placed, &Class)| it.0 == group && **found == class;
        let of = |identity: &Identity| {
            self.placed[identity].iter().zip(self.fleet.classes(identity)).filter(is_it).count()
        };
        self.fleet.identities().map(of).sum()
    }

    fn judge_groups(&mut self, known: &BTreeSet<Identity>) {
        for group in ["all", "web", "api", "_upstream"] {
            let [confirmed, unconfirmed, ejected] = ABLE.map(|class| self.count(group, class));
            let expected = match (confirmed, unconfirmed) {
                (0, 0) => Tier::Ejected,
                (confirmed, unconfirmed) if confirmed >= unconfirmed => Tier::Confirmed,
                _ => Tier::Alike,
            };
            let tier = self.fleet.tier(group);
            assert_eq!(tier, expected, "{group}: {confirmed} {unconfirmed} {ejected}");
            self.reached.insert(match tier {
                Tier::Alike => "taken by unconfirmed ones as well".to_owned(),
                Tier::Ejected if ejected > 0 => "taken by ejected ones".to_owned(),
                Tier::Ejected => "taken by nobody".to_owned(),
                Tier::Confirmed => return,
            });
            let (mut failing, mut able_that_answer) = (0, 0);
            for identity in known {
                let places = self.placed[identity].iter().zip(self.fleet.classes(identity));
                for (_, class) in places.filter(|((it, _), _)| *it == group) {
                    let why = self.fleet.view(identity).unwrap().why;
                    failing += usize::from(*class == Class::Ejected && matches!(why, Why::Failures { .. }));
                    able_that_answer += usize::from(*class != Class::Barred && self.answers(identity));
                }
            }
            let able = confirmed + unconfirmed + ejected;
            assert!(2 * failing <= able, "{failing} of {able} are out for failures in {group}");
            assert!(able_that_answer == 0 || !self.takers(group).is_empty(), "{group} is empty");
        }
    }

    /// Whether it has answered for so long that nobody can have missed it.
    pub(crate) fn answers(&self, identity: &Identity) -> bool {
        let since = self.world.of(identity).and_then(|process| process.answers_since);
        since.is_some_and(|since| since + SEEN_AFTER <= self.now)
    }

    /// Somebody has changed its state, or is gone.
    pub(crate) fn judge_turn(&mut self, turn: &Turn) {
        let identity = &turn.identity;
        self.reached.insert(format!("{} {}", turn.to.map_or("gone", State::as_str), turn.why.as_str()));
        let facts = self.facts.get_mut(identity).unwrap();
        facts.turned(turn);
        if turn.why == Why::LaterRun {
            self.made_way.insert(identity.clone());
        }
        if turn.to.is_some() {
            if turn.from == Some(State::Unconfirmed) && turn.to == Some(State::Confirmed) {
                self.reached.insert("listed again".to_owned());
            }
            return;
        }
        let facts = self.facts.remove(identity).unwrap();
        // Whoever comes back is asked anew.
        let key = self.keys.get(identity).copied();
        self.began.retain(|(it, _), _| Some(*it) != key);
        // What was met before is forgotten with it.
        self.refused.retain(|it| Some(*it) != key);
        let is_placed = self.placed.remove(identity).is_some_and(|it| !it.is_empty());
        let word = self.heard.word(identity);
        let is_right = match turn.why {
            Why::Ended(_) => word == Word::Intended,
            Why::Withdrawn => matches!(word, Word::Unlisted | Word::Intended),
            Why::LaterRun => !facts.is_confirmed_by(word),
            why => facts.may_go(self.now, why, is_placed),
        };
        assert!(is_right, "{turn:?}: {word:?}, {facts:?}");
        // No opinion takes away who answers.
        let is_obeyed = matches!(turn.why, Why::Ended(_) | Why::Withdrawn | Why::LaterRun | Why::TooLong);
        assert!(is_obeyed || !is_placed || !self.answers(identity), "{turn:?}, and it answers: {facts:?}");
    }

    /// After a long calm everything is as it should be.
    pub(crate) fn judge_calm(&mut self) {
        for process in &self.world.processes {
            let identity = process.identity.clone();
            if !process.is_wanted() {
                continue;
            }
            let view = self.fleet.view(&identity).unwrap_or_else(|| panic!("{identity} is not known"));
            if self.placed[&identity].is_empty() {
                // Nobody asks it anything.
                continue;
            }
            let expected = if process.is_draining { State::Draining } else { State::Confirmed };
            assert_eq!(view.state, expected, "{identity} {view:?} {:?}", self.facts[&identity]);
        }
        for group in ["all", "web", "api", "_upstream"] {
            let takers = self.takers(group);
            let is_confirmed = self.fleet.tier(group) == Tier::Confirmed;
            for taker in takers.iter().filter(|_| is_confirmed) {
                let process = self.world.of(taker);
                assert!(process.is_some_and(|it| it.is_wanted()), "{taker} is in {group}");
            }
            let dead = takers.iter().filter(|taker| self.world.is_free(taker.port)).count();
            assert!(dead == 0 || self.fleet.tier(group) == Tier::Ejected, "{takers:?} in {group}");
        }
    }
}
