use std::sync::Arc;

use crate::Endpoint;

/// The endpoints that a strategy may choose from, laid out off the request path and never changed after.
///
/// Only eligible endpoints are in it: one that drains is left out when the set is made, so no choice can meet it.
#[derive(Debug, Default)]
pub struct Set {
    endpoints: Vec<Arc<Endpoint>>,
    /// Where the round-robin cursor stood when the set was laid out: there its first turn begins.
    pub(crate) laid_at: u64,
    /// The key of the endpoint that was served last before that, whether or not it is still here.
    pub(crate) served_last: Option<u64>,
}

impl Set {
    pub(crate) fn new(endpoints: Vec<Arc<Endpoint>>, laid_at: u64, served_last: Option<u64>) -> Self {
        Self { endpoints, laid_at, served_last }
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
