use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::{Asks, Entered, Limits, Queue};
use crate::Endpoint;

/// A queue that the workers share. Its lock is held for as long as one choice takes, and nobody is woken under it.
#[derive(Debug)]
pub struct Gate {
    queue: Mutex<Queue<Waker>>,
}

/// How a request came through the gate.
#[derive(Debug)]
pub enum Entry {
    /// It has this place.
    Place(Place),
    /// It waits.
    Waits(Waiting),
    /// There is no endpoint that it has not failed at.
    Nobody,
    /// There is no place at once, and the queue is full or it does not want to wait.
    QueueFull,
    /// All connections are in use.
    TooMany,
}

/// A place at an endpoint, until it is dropped.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    endpoint: Arc<Endpoint>,
}

/// A place in the queue. Whoever drops it gives up, and what it may have got meanwhile goes to the next.
#[derive(Debug)]
pub struct Waiting {
    gate: Arc<Gate>,
    order: u64,
    wish: Option<u64>,
    is_over: bool,
}

impl Gate {
    /// A gate in front of nobody yet.
    pub fn new(limits: Limits) -> Self {
        Self { queue: Mutex::new(Queue::new(limits)) }
    }

    /// These limits hold and these endpoints may be chosen from now on.
    pub fn arrange(&self, limits: Limits, endpoints: &[Arc<Endpoint>]) {
        let woken = self.queue().arrange(limits, endpoints);
        wake(woken);
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queue().waiting()
    }

    /// How many have a place.
    pub fn placed(&self) -> usize {
        self.queue().placed()
    }

    /// A request comes: see [`Queue::enter`]. If it has to wait, `waker` is woken when it need not any more.
    pub fn enter(
        self: &Arc<Self>,
        asks: &mut Asks<'_>,
        choose: impl FnOnce(&Queue<Waker>) -> Option<u64>,
        waker: &Waker,
    ) -> Entry {
        let entered = self.queue().enter(asks, choose, || waker.clone());
        match entered {
            Entered::Place(endpoint) => Entry::Place(Place { gate: Arc::clone(self), endpoint }),
            Entered::Waits => Entry::Waits(Waiting {
                gate: Arc::clone(self),
                order: asks.order.unwrap_or_default(),
                wish: asks.wish,
                is_over: false,
            }),
            Entered::Nobody => Entry::Nobody,
            Entered::QueueFull => Entry::QueueFull,
            Entered::TooMany => Entry::TooMany,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Waker>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Where it is.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let woken = self.gate.queue().leave(self.endpoint.key());
        wake(woken);
    }
}

impl Waiting {
    /// The place that it waited for; none if there is nobody any more who could give it one.
    pub fn poll_claim(&mut self) -> Poll<Option<Place>> {
        let Some(claimed) = self.gate.queue().claim(self.order) else { return Poll::Pending };
        self.is_over = true;
        Poll::Ready(claimed.map(|endpoint| Place { gate: Arc::clone(&self.gate), endpoint }))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            let woken = self.gate.queue().give_up(self.order, self.wish);
            wake(woken);
        }
    }
}

fn wake(woken: Vec<Waker>) {
    woken.into_iter().for_each(Waker::wake);
}
