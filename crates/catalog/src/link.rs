use std::net::SocketAddr;

use berth_model::{Patch, Reason, Run};

/// One link: the connection that a process holds open. Numbers are never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// So many links may name one run; the oldest counts no more when there are more.
const MOST_LINKS: usize = 8;

/// How a live run stands to the links of its owner.
///
/// Nearly always there is one. There are two for a moment when a process opens another one for a run more, and
/// nobody's link but the owner's may stand in for it: so each of them hears everything, and only the loss of the
/// last one means something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    // Those that name it, oldest first.
    open: Vec<LinkId>,
    /// Whether there were some, and all broke.
    pub(crate) lost: bool,
}

impl Links {
    pub(crate) fn add(&mut self, link: LinkId) {
        if self.open.len() == MOST_LINKS {
            self.open.remove(0);
        }
        self.open.reserve_exact(1);
        self.open.push(link);
        self.lost = false;
    }

    /// True if that was the last one.
    pub(crate) fn remove(&mut self, link: LinkId) -> bool {
        let before = self.open.len();
        self.open.retain(|open| *open != link);
        let last = before > 0 && self.open.is_empty();
        self.lost |= last;
        last
    }

    pub(crate) fn notice(&self, word: impl FnOnce() -> Word) -> Option<Notice> {
        (!self.open.is_empty()).then(|| Notice { links: self.open.clone(), word: word() })
    }
}

/// A live run whose link broke. Its address tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The run.
    pub run: Run,
    /// Where to dial back.
    pub address: SocketAddr,
    /// Whether the address accepted a dial when the run was registered: only then a refusal means anything.
    pub dialled: bool,
}

/// What the owner of a run must hear.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The links that name the run; at least one.
    pub links: Vec<LinkId>,
    /// What happened to it.
    pub word: Word,
}

/// What others did to a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// Somebody changed it; its owner says so from now on.
    Asked(Patch),
    /// It ended.
    Ended(Reason),
}
