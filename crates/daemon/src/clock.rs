use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a running clock ticks.
const TICK: Duration = Duration::from_millis(250);

/// The most that one tick adds: anything longer means that this process stood still, and others may have
/// tried to reach it in vain.
const MOST_PER_TICK: Duration = Duration::from_millis(500);

/// The arithmetic of the running clock: time that passes only while its owner runs.
///
/// A process that was stopped (SIGSTOP, a suspended machine, a starved container) must not believe on waking
/// that everybody else fell silent. So each tick adds what passed since the last one, at most 500 ms, and the
/// time between two ticks is read with the same cap.
#[derive(Clone, Copy, Debug)]
pub struct RunningTime {
    running: Duration,
    last: Instant,
}

impl RunningTime {
    /// A clock that reads zero at `now`.
    pub fn start(now: Instant) -> Self {
        Self { running: Duration::ZERO, last: now }
    }

    /// The running time at `now`.
    pub fn at(&self, now: Instant) -> Duration {
        self.running + now.saturating_duration_since(self.last).min(MOST_PER_TICK)
    }

    /// Moves the clock to `now`; returns how much time passed that it does not count.
    pub fn tick(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.last);
        self.running = self.at(now);
        self.last = now;
        passed.saturating_sub(MOST_PER_TICK)
    }
}

/// A running clock that several tasks share. It must be driven by [`RunningClock::drive`].
#[derive(Clone, Debug)]
pub struct RunningClock {
    // Held for a few instructions, never over an `.await`.
    time: Arc<Mutex<RunningTime>>,
}

impl RunningClock {
    /// A clock that reads zero now.
    pub fn start() -> Self {
        Self { time: Arc::new(Mutex::new(RunningTime::start(Instant::now()))) }
    }

    /// The running time since the start.
    pub fn now(&self) -> Duration {
        self.time.lock().unwrap_or_else(PoisonError::into_inner).at(Instant::now())
    }

    /// Ticks for ever, and calls `after_tick` with the running time and with the time that was not counted.
    pub async fn drive(&self, mut after_tick: impl FnMut(Duration, Duration)) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (now, lost) = {
                let mut time = self.time.lock().unwrap_or_else(PoisonError::into_inner);
                let instant = Instant::now();
                let lost = time.tick(instant);
                (time.at(instant), lost)
            };
            after_tick(now, lost);
        }
    }
}
