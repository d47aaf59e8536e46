/// The window, in steps of a second.
const STEPS: u64 = 10;

const STEP_MS: u64 = 1_000;

/// So many retries the window has room for however few requests there are: three a second.
const LEAST: u64 = 3 * STEPS;

/// One retry for so many requests, beyond that.
const REQUESTS_PER_RETRY: u64 = 5;

/// How many retries the requests of a backend have between them, so that one that is ill is not asked three times as
/// often as one that is well.
///
/// Each retry is one of 30 at most within the ten seconds up to it, counted in whole seconds, or of 20 % of the requests
/// that began in these and those that were under way at their beginning, if that is more. It must be told of the requests
/// now and then: those that it hears of late it takes for older than they are, and grants the less for it.
#[derive(Clone, Debug, Default)]
pub struct RetryBudget {
    /// The last steps, each at its number modulo their count.
    steps: [Step; STEPS as usize],
    /// The number of the present step; none before the first news.
    present: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Step {
    /// Requests that had begun before it.
    begun: u64,
    /// Of these, those under way when it began.
    in_flight: u64,
    /// Retries that were granted in it.
    granted: u64,
}

impl RetryBudget {
    /// News of the requests, at a time in milliseconds: how many have ever begun, and how many are under way. The latter
    /// is asked once a second at most.
    pub fn note(&mut self, now_ms: u64, begun: u64, in_flight: impl FnOnce() -> u64) {
        let step = now_ms / STEP_MS;
        let first = match self.present {
            // Whoever tells may have looked at the clock a little earlier than another.
            Some(present) if step <= present => return,
            Some(present) => (present + 1).max(step.saturating_sub(STEPS - 1)),
            None => step.saturating_sub(STEPS - 1),
        };
        let fresh = Step { begun, in_flight: in_flight(), granted: 0 };
        for missed in first..=step {
            self.steps[(missed % STEPS) as usize] = fresh;
        }
        self.present = Some(step);
    }

    /// Whether there is a retry to be had, which is then taken. The arguments are those of [`Self::note`].
    pub fn grant(&mut self, now_ms: u64, begun: u64, in_flight: impl FnOnce() -> u64) -> bool {
        self.note(now_ms, begun, in_flight);
        let Some(present) = self.present else { return false };
        let granted: u64 = self.steps.iter().map(|step| step.granted).sum();
        // Before the tenth step the first is that of the first news.
        let oldest = self.steps[((present + 1) % STEPS) as usize];
        let requests = begun.saturating_sub(oldest.begun) + oldest.in_flight;
        let has_room = granted < LEAST.max(requests / REQUESTS_PER_RETRY);
        if has_room {
            self.steps[(present % STEPS) as usize].granted += 1;
        }
        has_room
    }
}
