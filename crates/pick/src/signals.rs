use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// What traffic meets at an endpoint that makes one doubt it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It refused a connection.
    Refused,
    /// It ended a connection without an answer to what it had been sent, or broke its answer off.
    Reset,
    /// It answered with a status from 500 up, or with what is no answer.
    Error,
    /// It has not said a word for a while, though it was asked.
    Silent,
}

impl Signal {
    const ALL: [Self; 4] = [Signal::Refused, Signal::Reset, Signal::Error, Signal::Silent];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What traffic has met at an endpoint, told to the one who decides whether it may be chosen; and what that one tells
/// the traffic.
#[derive(Debug, Default)]
pub struct Signals {
    /// Those that nobody has taken yet.
    raised: AtomicU8,
    failures: AtomicU64,
    heard_ms: AtomicU64,
    /// Written by the one who decides, as the next.
    given_up: AtomicBool,
    has_left: AtomicBool,
}

impl Signals {
    /// Raises a signal. True if it does not wait to be taken already: then whoever takes them has to be told.
    #[cold]
    pub fn raise(&self, signal: Signal) -> bool {
        // Whoever is slow has not failed yet; its probe decides.
        if signal != Signal::Silent {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        self.raised.fetch_or(signal.bit(), Ordering::AcqRel) & signal.bit() == 0
    }

    /// Takes what was raised since the last time.
    pub fn take(&self) -> impl Iterator<Item = Signal> {
        self.take_those(Signal::ALL.map(Signal::bit).iter().sum())
    }

    /// The same, but for failures that are looked at in their time: as long as they wait, nobody is told of more.
    pub fn take_but_failures(&self) -> impl Iterator<Item = Signal> {
        self.take_those(Signal::Refused.bit() | Signal::Silent.bit())
    }

    /// Takes those failures.
    pub fn take_failures(&self) -> impl Iterator<Item = Signal> {
        self.take_those(Signal::Reset.bit() | Signal::Error.bit())
    }

    fn take_those(&self, bits: u8) -> impl Iterator<Item = Signal> {
        let raised = self.raised.fetch_and(!bits, Ordering::AcqRel) & bits;
        Signal::ALL.into_iter().filter(move |signal| raised & signal.bit() != 0)
    }

    /// How often one was raised, ever, silences excepted.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// It has sent something.
    #[inline]
    pub fn heard(&self, now_ms: u64) {
        // Others read this line; it is written once a tick and not with every answer.
        if self.heard_ms.load(Ordering::Relaxed) != now_ms {
            self.heard_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// When it last sent something, in milliseconds on the balancer's clock.
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms.load(Ordering::Relaxed)
    }

    /// Nobody need wait for its answers any more, or they may again.
    pub fn give_up(&self, is_given_up: bool) {
        self.given_up.store(is_given_up, Ordering::Release);
    }

    /// Whether nobody need wait for its answers any more.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    /// It is not listed any more, or is again.
    pub fn leave(&self, has_left: bool) {
        self.has_left.store(has_left, Ordering::Release);
    }

    /// Whether it is not listed any more: what runs there is to finish, and nothing else begins.
    #[inline]
    pub fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Relaxed)
    }
}
