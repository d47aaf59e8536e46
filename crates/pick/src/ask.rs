use crate::Chance;

/// What a choice may go by, beside the set.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Milliseconds on the balancer's clock.
    pub now_ms: u64,
    /// Chance, for strategies that toss coins.
    pub chance: &'a mut Chance,
    /// What client or request are known by, hashed, for strategies that keep to one endpoint.
    pub key: u64,
    /// The indexes that this request has already failed at.
    pub tried: &'a [usize],
}
