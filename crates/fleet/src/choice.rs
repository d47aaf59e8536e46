//! Who may be chosen: the last paragraph of the evidence table.

/// What an endpoint is to a group that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// It takes requests.
    Confirmed,
    /// It takes requests while too few others are confirmed.
    Unconfirmed,
    /// It takes requests when nobody else can.
    Ejected,
    /// It takes none.
    Barred,
}

/// How many endpoints of a group are in each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([usize; 4]);

/// Which classes of a group take requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Those that are confirmed.
    Confirmed,
    /// Those as well that are not, because there are too few of the others.
    Alike,
    /// Those that were ejected, as there is nobody else.
    Ejected,
}

impl Counts {
    pub(crate) fn add(&mut self, class: Class) {
        self.0[class as usize] += 1;
    }

    pub(crate) fn take(&mut self, class: Class) {
        self.0[class as usize] -= 1;
    }

    /// How many are in this class.
    pub fn of(&self, class: Class) -> usize {
        self.0[class as usize]
    }

    /// Who takes requests.
    pub fn tier(&self) -> Tier {
        let (confirmed, unconfirmed) = (self.of(Class::Confirmed), self.of(Class::Unconfirmed));
        if confirmed + unconfirmed == 0 {
            Tier::Ejected
        } else if 2 * confirmed >= confirmed + unconfirmed {
            Tier::Confirmed
        } else {
            Tier::Alike
        }
    }
}

impl Tier {
    /// Whether those of a class are in the set that is chosen from.
    pub fn takes(self, class: Class) -> bool {
        match class {
            Class::Confirmed => true,
            Class::Unconfirmed => self == Tier::Alike,
            Class::Ejected => self == Tier::Ejected,
            Class::Barred => false,
        }
    }

    /// Whether those of a class are tried when all of the set have failed.
    pub fn spares(self, class: Class) -> bool {
        class != Class::Barred && !self.takes(class)
    }
}
