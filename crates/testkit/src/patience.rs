use std::time::{Duration, Instant};

/// How long a test waits for something that must happen. It is long because a busy machine is no bug; no test
/// that passes ever waits so long.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const PAUSE: Duration = Duration::from_millis(5);

/// Asks again and again until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Asks so many times whether something that must stay true still is, a moment apart.
pub fn holds_for(times: u32, what: &str, mut ask: impl FnMut() -> bool) {
    for round in 0..times {
        assert!(ask(), "no longer holds after {round} rounds: {what}");
        std::thread::sleep(PAUSE);
    }
}
