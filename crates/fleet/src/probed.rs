/// What came of a probe. The only proof of life is an answered byte: an accepted connection proves nothing, as a stopped
/// process still has its backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It answered in time.
    Answered {
        /// The status; none where only a connection was asked for.
        status: Option<u16>,
        /// Whether that is what the operator expects of an endpoint that is well.
        is_expected: bool,
    },
    /// It refused the connection.
    Refused,
    /// Nothing that is an answer came in time, or the connection ended first.
    Unanswered,
}
