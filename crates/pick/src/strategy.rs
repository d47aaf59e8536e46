/// A way of choosing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Strategy {
    /// Everybody in turn, exactly, whatever the weights: over any stretch in which the set stays the same, the shares of
    /// two endpoints differ by one request at most, over all workers together.
    #[default]
    RoundRobin,
    /// Everybody in turn by weight, evenly interleaved.
    WeightedRoundRobin,
    /// Whoever has the fewest requests under way.
    LeastConnections,
    /// Whoever has the fewest for their weight.
    WeightedLeastConnections,
    /// Anybody, by weight.
    Random,
    /// The less busy of two, by weight ("the power of two choices").
    P2c,
    /// The one of two whose answer is expected sooner: latency times requests under way, by weight.
    PeakEwma,
    /// The same endpoint for the same key, by weight.
    Hash {
        /// How many times the mean number of requests under way the endpoint may have before the next one is asked.
        bounded_load: Option<f32>,
    },
    /// By the room that endpoints say they have left, and by weight.
    Load,
}
