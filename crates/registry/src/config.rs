use berth_web::Token;

/// What a registry needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The token that callers must show; none lets everybody in.
    pub token: Option<Token>,
    /// The most instances, those that ended within the last 10 minutes included.
    pub max_instances: usize,
    /// How many changes are kept for watchers that fall behind or come back. Past them they get a snapshot.
    pub log_entries: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { token: None, max_instances: 1_000_000, log_entries: 32 * 1024 }
    }
}
