//! What one instance may do, one call after the other: written from the design, not from the store.

use std::collections::BTreeMap;

use berth_model::Reason;

/// A call about one instance.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Put { run: Option<u64>, port: u16, weight: u16, draining: bool },
    Renew { run: u64 },
    Patch { weight: Option<u16>, draining: Option<bool> },
    End { run: Option<u64> },
    Get,
}

/// What its caller is told.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// 201.
    Joined(Seen),
    /// 200 with the instance.
    Kept(Seen),
    /// 200 without.
    Done,
    /// 404.
    Unknown,
    /// 410.
    Gone(Reason),
    /// 409.
    Superseded,
    /// The instance in a query's answer, if it is there.
    Found(Option<Seen>),
}

/// An instance as far as the model knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) run: u64,
    pub(super) port: u16,
    pub(super) weight: u16,
    pub(super) draining: bool,
}

/// What an operator wants of a run and its owner has not said yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Asked {
    weight: Option<u16>,
    draining: Option<bool>,
}

/// Everything that is known of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    live: Option<(Seen, Asked)>,
    ended: BTreeMap<u64, (&'static str, Asked)>,
}

impl State {
    /// The state after a call that had this outcome; none if it could not have had it.
    pub(super) fn after(&self, call: &Call, outcome: &Outcome) -> Option<Self> {
        let mut next = self.clone();
        let expected = match *call {
            Call::Put { run, port, weight, draining } => {
                let run = run.or_else(|| self.chosen_run(port, outcome))?;
                next.put(Seen { run, port, weight, draining })
            }
            Call::Renew { run } if self.is_live(run) => Outcome::Done,
            Call::Renew { run } => self.refusal(run),
            Call::Patch { weight, draining } => next.patch(Asked { weight, draining }),
            Call::End { run: Some(run) } if self.is_live(run) => next.end("deregistered"),
            Call::End { run: Some(run) } => self.refusal(run),
            Call::End { run: None } => next.end("removed"),
            Call::Get => Outcome::Found(self.live.map(|(seen, _)| seen)),
        };
        (expected == *outcome).then_some(next)
    }

    fn is_live(&self, run: u64) -> bool {
        self.live.is_some_and(|(seen, _)| seen.run == run)
    }

    fn refusal(&self, run: u64) -> Outcome {
        match self.ended.get(&run) {
            Some(("removed", _)) => Outcome::Gone(Reason::Removed),
            Some(("replaced", _)) => Outcome::Gone(Reason::Replaced),
            _ => Outcome::Unknown,
        }
    }

    /// The run of a caller that names none: the live one at that address, or a new one, higher than all others.
    fn chosen_run(&self, port: u16, outcome: &Outcome) -> Option<u64> {
        let live = self.live.map(|(seen, _)| seen);
        match (live.filter(|seen| seen.port == port), outcome) {
            (Some(seen), _) => Some(seen.run),
            (None, Outcome::Joined(seen)) => {
                let highest = self.ended.keys().copied().chain(live.map(|seen| seen.run)).max();
                (Some(seen.run) > highest).then_some(seen.run)
            }
            (None, _) => None,
        }
    }

    fn put(&mut self, said: Seen) -> Outcome {
        if let Some((_, asked)) = self.live.filter(|(live, _)| (live.run, live.port) == (said.run, said.port))
        {
            let (seen, asked) = asked.hear(said);
            self.live = Some((seen, asked));
            return Outcome::Kept(seen);
        }
        if !self.is_live(said.run) {
            let refusal = self.refusal(said.run);
            if refusal != Outcome::Unknown {
                return refusal;
            }
            if self.live.is_some_and(|(live, _)| said.run < live.run) {
                return Outcome::Superseded;
            }
        }
        self.end("replaced");
        let (_, asked) = self.ended.remove(&said.run).unwrap_or_default();
        let (seen, asked) = asked.hear(said);
        self.live = Some((seen, asked));
        Outcome::Joined(seen)
    }

    fn patch(&mut self, wanted: Asked) -> Outcome {
        let Some((seen, asked)) = &mut self.live else { return Outcome::Unknown };
        let patched = wanted.apply(*seen);
        *seen = patched;
        *asked =
            Asked { weight: wanted.weight.or(asked.weight), draining: wanted.draining.or(asked.draining) };
        Outcome::Kept(patched)
    }

    fn end(&mut self, reason: &'static str) -> Outcome {
        let Some((seen, asked)) = self.live.take() else { return Outcome::Unknown };
        // Who said goodbye begins anew, should it come back.
        let asked = if reason == "deregistered" { Asked::default() } else { asked };
        self.ended.insert(seen.run, (reason, asked));
        Outcome::Done
    }
}

impl Asked {
    fn apply(self, seen: Seen) -> Seen {
        Seen {
            weight: self.weight.unwrap_or(seen.weight),
            draining: self.draining.unwrap_or(seen.draining),
            ..seen
        }
    }

    /// The owner spoke: what holds now, and what it has still to say.
    fn hear(self, said: Seen) -> (Seen, Self) {
        let left = Self {
            weight: self.weight.filter(|weight| *weight != said.weight),
            draining: self.draining.filter(|draining| *draining != said.draining),
        };
        (self.apply(said), left)
    }
}
