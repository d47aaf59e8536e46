//! Deadlines of all connections of one worker, by a coarse clock.
//!
//! A timer entry per request would cost more than the rest of our bookkeeping. Here a deadline is one number in
//! a table; every tick looks through the table and wakes whoever is late. That a deadline fires up to two ticks
//! late harms nobody; it never fires early.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use berth_daemon::RunningTime;

use crate::routing::Millis;

/// How often the table is looked through.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// How long a connection that waits for its next request may stay once the worker drains: a request that is
/// already on its way is still served.
pub(crate) const LAST_CALL: Millis = Millis::of_secs(1);

/// The table of one worker.
#[derive(Debug)]
pub(crate) struct Deadlines {
    clock: Cell<RunningTime>,
    now_ms: Cell<u64>,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<usize>>,
}

#[derive(Debug)]
struct Slot {
    at_ms: u64,
    /// When the task is woken to look around.
    look_ms: u64,
    /// Between two requests, with nothing read.
    idle: bool,
    /// Waits for an upstream.
    looks: bool,
    waker: Option<Waker>,
}

impl Deadlines {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            clock: Cell::new(RunningTime::start(Instant::now())),
            now_ms: Cell::new(0),
            slots: RefCell::default(),
            free: RefCell::default(),
        })
    }

    /// The running time as of the last tick, in milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Moves the clock on and wakes every connection that is late.
    pub(crate) fn tick(&self, now: Instant) {
        let mut clock = self.clock.get();
        clock.tick(now);
        self.clock.set(clock);
        let now_ms = u64::try_from(clock.at(now).as_millis()).unwrap_or(u64::MAX);
        self.now_ms.set(now_ms);
        for slot in self.slots.borrow().iter().filter(|slot| slot.at_ms.min(slot.look_ms) <= now_ms) {
            if let Some(waker) = &slot.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Has every connection look around that waits for an upstream.
    #[cold]
    pub(crate) fn look_now(&self) {
        for slot in self.slots.borrow_mut().iter_mut().filter(|slot| slot.looks) {
            slot.look_ms = 0;
            if let Some(waker) = &slot.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Shortens the wait of every connection that is between two requests.
    pub(crate) fn last_call(&self) {
        let last = self.now_ms() + LAST_CALL.get();
        for slot in self.slots.borrow_mut().iter_mut().filter(|slot| slot.idle) {
            slot.at_ms = slot.at_ms.min(last);
        }
    }

    /// A deadline for one connection; it is not set yet.
    pub(crate) fn register(self: &Rc<Self>) -> Deadline {
        let slot = Slot { at_ms: u64::MAX, look_ms: u64::MAX, idle: false, looks: false, waker: None };
        let index = match self.free.borrow_mut().pop() {
            Some(index) => {
                self.slots.borrow_mut()[index] = slot;
                index
            }
            None => {
                self.slots.borrow_mut().push(slot);
                self.slots.borrow().len() - 1
            }
        };
        Deadline { table: Rc::clone(self), index }
    }
}

/// One connection's deadline. It always guards the one thing that the connection is waiting for.
#[derive(Debug)]
pub(crate) struct Deadline {
    table: Rc<Deadlines>,
    index: usize,
}

impl Deadline {
    /// Names the task that is woken when the deadline passes. Once per connection: a task's waker stays.
    pub(crate) fn attach(&self, cx: &Context<'_>) {
        self.table.slots.borrow_mut()[self.index].waker = Some(cx.waker().clone());
    }

    /// Sets the deadline.
    pub(crate) fn set(&self, after: Millis) {
        self.store(after, false);
    }

    /// Sets the deadline of a connection that waits for its next request.
    pub(crate) fn set_idle(&self, after: Millis) {
        self.store(after, true);
    }

    /// Has the task woken once it has waited for a tick or two, to look whether its peer is still there. Most never
    /// wait so long, and are spared the cost of watching.
    pub(crate) fn look_later(&self) {
        self.look_after(2 * TICK.as_millis() as u64);
    }

    /// The same after so many milliseconds. It is also woken when an endpoint is given up.
    pub(crate) fn look_after(&self, ms: u64) {
        let look_ms = self.table.now_ms() + ms;
        let slot = &mut self.table.slots.borrow_mut()[self.index];
        (slot.look_ms, slot.looks) = (look_ms, true);
    }

    /// What was waited for has come.
    pub(crate) fn stop_looking(&self) {
        let slot = &mut self.table.slots.borrow_mut()[self.index];
        (slot.look_ms, slot.looks) = (u64::MAX, false);
    }

    /// Whether the time to look around has come; it comes once.
    pub(crate) fn takes_look(&self) -> bool {
        let look_ms = &mut self.table.slots.borrow_mut()[self.index].look_ms;
        let comes = *look_ms <= self.table.now_ms();
        if comes {
            *look_ms = u64::MAX;
        }
        comes
    }

    /// Whether it has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.table.slots.borrow()[self.index].at_ms <= self.table.now_ms()
    }

    fn store(&self, after: Millis, idle: bool) {
        // The last tick may have been almost a tick ago.
        let at_ms = self.table.now_ms() + after.get() + TICK.as_millis() as u64;
        let slot = &mut self.table.slots.borrow_mut()[self.index];
        slot.at_ms = at_ms;
        slot.idle = idle;
        if idle {
            (slot.look_ms, slot.looks) = (u64::MAX, false);
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let slot = &mut self.table.slots.borrow_mut()[self.index];
        (slot.at_ms, slot.look_ms, slot.looks, slot.waker) = (u64::MAX, u64::MAX, false, None);
        self.table.free.borrow_mut().push(self.index);
    }
}
