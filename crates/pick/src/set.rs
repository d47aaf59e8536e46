use std::sync::Arc;

use crate::Endpoint;

/// The endpoints that a strategy may choose from, laid out off the request path and never changed after.
///
/// Only eligible endpoints are in it: one that drains is left out when the set is made, so no choice can meet it.
#[derive(Debug, Default)]
pub struct Set {
    endpoints: Vec<Arc<Endpoint>>,
    /// Added to the round-robin cursor, so that a turn goes on over a change of the set.
    pub(crate) shift: u64,
}

impl Set {
    pub(crate) fn new(endpoints: Vec<Arc<Endpoint>>, shift: u64) -> Self {
        Self { endpoints, shift }
    }

    /// The endpoints in the order of their turns.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether there is nothing to choose from.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }
}
