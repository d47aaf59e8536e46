//! The waiting queue of a backend whose endpoints take so many requests at once and no more: who has a place where,
//! and who waits for one. Pure; [`Gate`] shares it among threads.
//!
//! Those who wait are served in the order in which they came. A place that becomes free is given to the first who can
//! use it before anybody else sees that it was free: nobody overtakes, exactly one is woken, and no wake-up is lost.

mod gate;
mod seats;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::Endpoint;
pub use gate::{Entry, Gate, Place, Waiting};
use seats::Seats;

/// How many requests a backend takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests at each endpoint at once.
    pub in_flight: Option<u32>,
    /// Requests at all endpoints at once. More wait if they would at a full endpoint, else they are turned away.
    pub connections: Option<u32>,
    /// Requests that may wait.
    pub length: usize,
    /// Whether requests wait as well while there is no endpoint.
    pub holds_when_empty: bool,
}

/// What a request asks for.
#[derive(Debug, Default)]
pub struct Asks<'a> {
    /// Its number in the order of arrivals, from the first time that it came.
    pub order: Option<u64>,
    /// The endpoint that it must have as long as that may be chosen, by its key.
    pub wish: Option<u64>,
    /// The keys of endpoints that it has failed at.
    pub tried: &'a [u64],
    /// Whether it would rather have nothing than wait.
    pub hurries: bool,
}

/// What a request gets.
#[derive(Debug)]
pub enum Entered {
    /// A place at this endpoint.
    Place(Arc<Endpoint>),
    /// A place in the queue.
    Waits,
    /// There is no endpoint that it has not failed at.
    Nobody,
    /// There is no place at once, and the queue is full or it does not want to wait.
    QueueFull,
    /// All connections are in use.
    TooMany,
}

#[derive(Debug)]
struct Waiter<W> {
    wake: W,
    tried: Vec<u64>,
}

type Line<W> = BTreeMap<u64, Waiter<W>>;

/// The queue. `W` is whatever wakes one who waits.
#[derive(Debug)]
pub struct Queue<W> {
    limits: Limits,
    seats: Seats,
    /// How many have come.
    arrived: u64,
    /// Those who wait, by their order.
    anyone: Line<W>,
    /// Those who wait for a certain endpoint, by its key. Each of them may be chosen.
    loyal: HashMap<u64, Line<W>>,
    waiting: usize,
    /// What those who waited have got, until they take it: a place, or the news that there is nobody for them.
    answered: HashMap<u64, Option<Arc<Endpoint>>>,
    /// Whether somebody may be waiting for any connection, and not for a place that is taken.
    is_capped: bool,
}

impl<W> Queue<W> {
    /// A queue without endpoints.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            seats: Seats::new(limits.in_flight),
            arrived: 0,
            anyone: BTreeMap::new(),
            loyal: HashMap::new(),
            waiting: 0,
            answered: HashMap::new(),
            is_capped: false,
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many have a place, those who have not taken it yet among them.
    pub fn placed(&self) -> usize {
        self.seats.taken()
    }

    /// Whether there is a place at this endpoint.
    pub fn has_room(&self, key: u64) -> bool {
        self.seats.has_room(key)
    }

    /// These limits hold and these endpoints may be chosen from now on. Returns who is to be woken.
    pub fn arrange(&mut self, limits: Limits, endpoints: &[Arc<Endpoint>]) -> Vec<W> {
        self.limits = limits;
        self.seats.arrange(limits.in_flight, endpoints);
        let seats = &self.seats;
        for (_, line) in self.loyal.extract_if(|key, _| !seats.is_eligible(*key)) {
            self.anyone.extend(line);
        }
        let mut woken = self.turn_away();
        woken.extend(self.settle());
        woken
    }

    /// A request comes. `choose` names an endpoint that has room; if it does not, any will do. With a place, or a place in
    /// the queue, the request has its number in `order` from then on.
    pub fn enter(
        &mut self,
        asks: &mut Asks<'_>,
        choose: impl FnOnce(&Self) -> Option<u64>,
        wake: impl FnOnce() -> W,
    ) -> Entered {
        let is_new = asks.order.is_none();
        if self.has_nobody_for(asks.tried) {
            return Entered::Nobody;
        }
        let is_at_cap = self.is_at_cap();
        if is_at_cap && is_new && self.limits.in_flight.is_none() {
            return Entered::TooMany;
        }
        let wish = asks.wish.filter(|wish| self.seats.is_eligible(*wish) && !asks.tried.contains(wish));
        let key = match wish {
            _ if is_at_cap => None,
            Some(wish) => self.has_room(wish).then_some(wish),
            None => self.choose(asks.tried, choose),
        };
        if let Some(endpoint) = key.and_then(|key| self.seats.take(key)) {
            self.number(asks);
            return Entered::Place(endpoint);
        }
        // One that was let in before is not sent away for those who came after it.
        if asks.hurries || (is_new && self.waiting >= self.limits.length) {
            return Entered::QueueFull;
        }
        let order = self.number(asks);
        let line = match wish {
            Some(wish) => self.loyal.entry(wish).or_default(),
            None => &mut self.anyone,
        };
        line.insert(order, Waiter { wake: wake(), tried: asks.tried.to_vec() });
        self.waiting += 1;
        self.is_capped |= is_at_cap;
        Entered::Waits
    }

    /// What one who waited has got, if anything: a place at an endpoint, or nobody.
    pub fn claim(&mut self, order: u64) -> Option<Option<Arc<Endpoint>>> {
        self.answered.remove(&order)
    }

    /// One who had a place at this endpoint has left. Returns who is to be woken: mostly the one who has it now.
    pub fn leave(&mut self, key: u64) -> Vec<W> {
        self.seats.leave(key);
        if self.is_capped {
            return self.settle();
        }
        self.grant(key).into_iter().collect()
    }

    /// One who waits, for this endpoint if for a certain one, does so no longer. Returns who is to be woken.
    pub fn give_up(&mut self, order: u64, wish: Option<u64>) -> Vec<W> {
        match self.claim(order) {
            Some(Some(endpoint)) => return self.leave(endpoint.key()),
            Some(None) => return Vec::new(),
            None => {}
        }
        let loyal = wish.and_then(|wish| self.loyal.get_mut(&wish)).and_then(|line| line.remove(&order));
        if loyal.or_else(|| self.anyone.remove(&order)).is_some() {
            self.waiting -= 1;
        }
        if let Some(wish) = wish {
            self.forget_line(wish);
        }
        Vec::new()
    }

    /// Its number, from now on.
    fn number(&mut self, asks: &mut Asks<'_>) -> u64 {
        *asks.order.get_or_insert_with(|| {
            self.arrived += 1;
            self.arrived
        })
    }

    fn is_at_cap(&self) -> bool {
        self.limits.connections.is_some_and(|most| self.seats.taken() >= most as usize)
    }

    fn has_nobody_for(&self, tried: &[u64]) -> bool {
        match self.seats.eligible() {
            0 => !self.limits.holds_when_empty,
            eligible => tried.len() >= eligible && self.seats.are_all_in(tried),
        }
    }

    fn choose(&self, tried: &[u64], choose: impl FnOnce(&Self) -> Option<u64>) -> Option<u64> {
        if !self.seats.have_room() {
            return None;
        }
        choose(self)
            .filter(|key| self.has_room(*key) && !tried.contains(key))
            .or_else(|| self.seats.any(tried, self.arrived))
    }

    /// Tells those for whom there is nobody left.
    fn turn_away(&mut self) -> Vec<W> {
        let lost: Vec<u64> = match self.seats.eligible() {
            0 if !self.limits.holds_when_empty => self.anyone.keys().copied().collect(),
            _ => {
                let tried = self.anyone.iter().filter(|(_, waiter)| !waiter.tried.is_empty());
                tried.filter(|(_, it)| self.has_nobody_for(&it.tried)).map(|(order, _)| *order).collect()
            }
        };
        let turn = |order: u64| {
            let waiter = self.anyone.remove(&order)?;
            self.waiting -= 1;
            self.answered.insert(order, None);
            Some(waiter.wake)
        };
        lost.into_iter().filter_map(turn).collect()
    }

    /// Gives away all free places that somebody waits for.
    fn settle(&mut self) -> Vec<W> {
        let mut woken = Vec::new();
        while !self.is_at_cap()
            && let Some((order, key)) = self.first_with_a_place()
        {
            woken.extend(self.give(order, key));
        }
        self.is_capped = self.waiting > 0 && self.is_at_cap();
        woken
    }

    /// The first of all who wait for whom there is a place, and where.
    fn first_with_a_place(&self) -> Option<(u64, u64)> {
        let mut anyone = self.anyone.iter();
        let anyone =
            anyone.find_map(|(order, waiter)| Some((*order, self.seats.any(&waiter.tried, *order)?)));
        let roomy = self.loyal.iter().filter(|(key, _)| self.has_room(**key));
        let loyal = roomy.filter_map(|(key, line)| Some((*line.keys().next()?, *key)));
        anyone.into_iter().chain(loyal).min()
    }

    /// Gives a place at this endpoint, if there is one, to the first of those who wait for it.
    fn grant(&mut self, key: u64) -> Option<W> {
        if self.waiting == 0 || !self.has_room(key) {
            return None;
        }
        let mut anyone = self.anyone.iter();
        let anyone = anyone.find(|(_, waiter)| !waiter.tried.contains(&key)).map(|(order, _)| *order);
        let loyal = self.loyal.get(&key).and_then(|line| line.keys().next().copied());
        let first = anyone.into_iter().chain(loyal).min()?;
        self.give(first, key)
    }

    /// Gives one who waits a place at this endpoint.
    fn give(&mut self, order: u64, key: u64) -> Option<W> {
        let loyal = self.loyal.get_mut(&key).and_then(|line| line.remove(&order));
        let waiter = loyal.or_else(|| self.anyone.remove(&order))?;
        self.forget_line(key);
        self.waiting -= 1;
        self.answered.insert(order, self.seats.take(key));
        Some(waiter.wake)
    }

    fn forget_line(&mut self, key: u64) {
        if self.loyal.get(&key).is_some_and(BTreeMap::is_empty) {
            self.loyal.remove(&key);
        }
    }
}
