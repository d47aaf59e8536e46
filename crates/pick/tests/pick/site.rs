//! Endpoints to choose from.

use std::collections::BTreeSet;
use std::time::Duration;

use berth_model::{Identity, Run, Scheme};
use berth_pick::{Ask, Chance, Chooser, Eligible, Roster, Set, Strategy};

/// Every strategy.
pub(crate) const ALL: [Strategy; 10] = [
    Strategy::RoundRobin,
    Strategy::WeightedRoundRobin,
    Strategy::LeastConnections,
    Strategy::WeightedLeastConnections,
    Strategy::Random,
    Strategy::P2c,
    Strategy::PeakEwma,
    Strategy::Hash { bounded_load: None },
    Strategy::Hash { bounded_load: Some(1.25) },
    Strategy::Load,
];

fn identity(number: u16) -> Identity {
    Identity {
        service: "web".parse().unwrap(),
        id: number.to_string().parse().unwrap(),
        run: Run::new(1, 1),
        scheme: Scheme::Http,
        host: "127.0.0.1".parse().unwrap(),
        port: 1000 + number,
    }
}

/// A chooser with its endpoints, which are known by numbers.
pub(crate) struct Site {
    pub(crate) chooser: Chooser,
    pub(crate) roster: Roster,
    pub(crate) set: Set,
    pub(crate) chance: Chance,
    pub(crate) now_ms: u64,
}

impl Site {
    pub(crate) fn new(strategy: Strategy, entropy: u64) -> Self {
        Self::ramping(strategy, Duration::ZERO, entropy)
    }

    pub(crate) fn ramping(strategy: Strategy, ramp: Duration, entropy: u64) -> Self {
        Self {
            chooser: Chooser::new(strategy, ramp, entropy),
            roster: Roster::default(),
            set: Set::default(),
            chance: Chance::new(entropy),
            now_ms: 0,
        }
    }

    /// These may be chosen from now on.
    pub(crate) fn arrange(&mut self, numbers: &BTreeSet<u16>) {
        let weighted: Vec<_> = numbers.iter().map(|number| (*number, 1)).collect();
        self.arrange_weighted(&weighted, None);
    }

    /// These, with their weights; those that are new join at this time.
    pub(crate) fn arrange_weighted(&mut self, numbers: &[(u16, u16)], joined_ms: Option<u64>) {
        let eligible: Vec<Eligible> = numbers
            .iter()
            .map(|(number, weight)| Eligible {
                endpoint: self.roster.endpoint(&identity(*number), None, joined_ms),
                weight: *weight,
            })
            .collect();
        self.set = self.chooser.arrange(&self.set, &eligible);
    }

    /// The index of the next one.
    pub(crate) fn choose(&mut self, tried: &[usize]) -> Option<usize> {
        let key = self.chance.number();
        self.choose_for(key, tried)
    }

    /// The index of the one for this key.
    pub(crate) fn choose_for(&mut self, key: u64, tried: &[usize]) -> Option<usize> {
        let mut ask = Ask { now_ms: self.now_ms, chance: &mut self.chance, key, tried };
        self.chooser.choose(&self.set, &mut ask)
    }

    /// The number of the next one.
    pub(crate) fn next(&mut self) -> u16 {
        let index = self.choose(&[]).unwrap();
        self.number_of(index)
    }

    pub(crate) fn number_of(&self, index: usize) -> u16 {
        self.set.endpoints()[index].address().port() - 1000
    }

    /// How often each of these is chosen in so many choices.
    pub(crate) fn counts(&mut self, choices: usize) -> std::collections::BTreeMap<u16, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..choices {
            *counts.entry(self.next()).or_default() += 1;
        }
        counts
    }
}
