use std::net::SocketAddr;

use berth_model::{Patch, Reason, Run};

/// One link: the connection that a process holds open. Numbers are never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// How a live run stands to its owner's link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    /// Its owner never opened one: only the lease tells whether it lives.
    #[default]
    Never,
    /// This one names it.
    Held(LinkId),
    /// The one that named it broke, and no other took its place.
    Lost,
}

/// A live run whose link broke. Its address tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The run.
    pub run: Run,
    /// Where to dial back.
    pub address: SocketAddr,
}

/// What the owner of a run must hear through its link.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The link that names the run.
    pub link: LinkId,
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
