use std::sync::Arc;

use crate::{Endpoint, Set};

/// A way of choosing. One is shared by all workers and lives as long as its backend; the sets come and go.
pub trait Strategy: Send + Sync {
    /// Lays out the set that follows `before`, off the request path. `eligible` has no endpoint twice.
    fn arrange(&self, before: &Set, eligible: &[Arc<Endpoint>]) -> Set;

    /// The index of the endpoint that takes the next request, none when all were tried. `tried` are the indexes
    /// that this request has already failed at.
    ///
    /// Without failures the time it takes does not grow with the set.
    fn choose(&self, set: &Set, tried: &[usize]) -> Option<usize>;
}
