//! Who said what of a run, in the order in which it was said. What counts is looked up in it each time.

use berth_model::Patch;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Speaker {
    Owner,
    Operator,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    said: Vec<(Speaker, Patch)>,
}

impl Words {
    /// The owner always says all three.
    pub(crate) fn owner_says(&mut self, all: Patch) {
        self.said.push((Speaker::Owner, all));
    }

    pub(crate) fn operator_asks(&mut self, some: Patch) {
        self.said.push((Speaker::Operator, some));
    }

    /// What counts now: all three.
    pub(crate) fn now(&self) -> Patch {
        Patch {
            draining: self.member(|patch| patch.draining.as_ref()).0,
            weight: self.member(|patch| patch.weight.as_ref()).0,
            meta: self.member(|patch| patch.meta.as_ref()).0,
        }
    }

    /// What an operator asked and the owner has not repeated since.
    pub(crate) fn pending(&self) -> Patch {
        Patch {
            draining: self.member(|patch| patch.draining.as_ref()).1,
            weight: self.member(|patch| patch.weight.as_ref()).1,
            meta: self.member(|patch| patch.meta.as_ref()).1,
        }
    }

    fn member<T: Clone + PartialEq>(&self, of: impl Fn(&Patch) -> Option<&T>) -> (Option<T>, Option<T>) {
        let is_wish =
            |(speaker, patch): &(Speaker, Patch)| *speaker == Speaker::Operator && of(patch).is_some();
        if let Some(place) = self.said.iter().rposition(is_wish) {
            let (wish, later) = (of(&self.said[place].1), &self.said[place + 1..]);
            let is_repeated =
                later.iter().any(|(speaker, patch)| *speaker == Speaker::Owner && of(patch) == wish);
            if !is_repeated {
                return (wish.cloned(), wish.cloned());
            }
        }
        let owner = self.said.iter().rfind(|(speaker, _)| *speaker == Speaker::Owner);
        (owner.and_then(|(_, patch)| of(patch)).cloned(), None)
    }
}
