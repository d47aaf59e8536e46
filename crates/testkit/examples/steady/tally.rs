use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::Ask;
use crate::now_ms;

/// An answer that took longer than it asked for is told of, so that it can be seen what held it up.
const SLOW: Duration = Duration::from_millis(100);

/// How one request ended.
pub(crate) struct Ending {
    pub(crate) ask: Ask,
    pub(crate) is_fresh: bool,
    pub(crate) was_reused: bool,
    /// On a new connection, because the kept one was closed under it.
    pub(crate) resent: bool,
    pub(crate) begun_ms: f64,
    pub(crate) took: Duration,
    pub(crate) answer_begun: bool,
    /// None: it has its answer.
    pub(crate) trouble: Option<String>,
}

/// What the clients saw.
pub(crate) struct Tally {
    begun_ms: f64,
    /// Answers and failures of each second.
    seconds: BTreeMap<u64, [u64; 2]>,
    /// Of answers that did not ask for time, in microseconds; GET and POST.
    took_us: [Vec<u32>; 2],
    failed: [u64; 2],
    kinds: BTreeMap<String, u64>,
    fresh: u64,
    resent: u64,
    last_answer: Instant,
    longest_gap: Duration,
    /// Answers that asked for time.
    slow: u64,
    most_lag: Duration,
    has_trouble: bool,
}

impl Tally {
    pub(crate) fn begin() -> Self {
        Self {
            begun_ms: now_ms(),
            seconds: BTreeMap::new(),
            took_us: [Vec::new(), Vec::new()],
            failed: [0; 2],
            kinds: BTreeMap::new(),
            fresh: 0,
            resent: 0,
            last_answer: Instant::now(),
            longest_gap: Duration::ZERO,
            slow: 0,
            most_lag: Duration::ZERO,
            has_trouble: false,
        }
    }

    /// How far behind its plan the load is: then it is the machine that is slow.
    pub(crate) fn lag(&mut self, lag: Duration) {
        self.most_lag = self.most_lag.max(lag);
    }

    /// Counts a request, and tells of it at once if it failed, if it was slow, or if it is the first answer after
    /// failures.
    pub(crate) fn count(&mut self, ending: &Ending) {
        let ended_ms = now_ms();
        let second = self.seconds.entry((ended_ms / 1000.0) as u64).or_default();
        let method = usize::from(ending.ask.shape.is_post());
        self.fresh += u64::from(ending.is_fresh);
        self.resent += u64::from(ending.resent);
        if let Some(kind) = &ending.trouble {
            second[1] += 1;
            self.failed[method] += 1;
            *self.kinds.entry(kind.clone()).or_default() += 1;
            self.has_trouble = true;
            tell("failed", ending, ended_ms);
            return;
        }
        second[0] += 1;
        let asked_ms = ending.ask.shape.asked_ms();
        if asked_ms == 0 {
            self.took_us[method].push(u32::try_from(ending.took.as_micros()).unwrap_or(u32::MAX));
        } else {
            self.slow += 1;
        }
        self.longest_gap = self.longest_gap.max(self.last_answer.elapsed());
        self.last_answer = Instant::now();
        if ending.took >= SLOW + Duration::from_millis(asked_ms) {
            tell("slow", ending, ended_ms);
        }
        if std::mem::take(&mut self.has_trouble) {
            tell("again", ending, ended_ms);
        }
    }

    /// Prints the sum.
    pub(crate) fn tell(&mut self) {
        let gap = self.longest_gap.max(self.last_answer.elapsed());
        let [gets, posts] = self.took_us.each_mut().map(|took| times(took));
        let mut all = self.took_us.concat();
        let seconds: Vec<_> = self.seconds.iter().map(|(second, [ok, bad])| [*second, *ok, *bad]).collect();
        println!(
            "{}",
            json!({
                "event": "sum",
                "begun_ms": self.begun_ms,
                "ended_ms": now_ms(),
                "ok": all.len() as u64 + self.slow,
                "slow": self.slow,
                "failed": self.failed[0] + self.failed[1],
                "failed_get": self.failed[0],
                "failed_post": self.failed[1],
                "kinds": self.kinds,
                "fresh": self.fresh,
                "resent": self.resent,
                "all": times(&mut all),
                "get": gets,
                "post": posts,
                "longest_gap_ms": gap.as_secs_f64() * 1000.0,
                "lag_ms": self.most_lag.as_secs_f64() * 1000.0,
                "seconds": seconds,
            })
        );
    }
}

fn tell(event: &str, ending: &Ending, ended_ms: f64) {
    println!(
        "{}",
        json!({
            "event": event,
            "method": if ending.ask.shape.is_post() { "POST" } else { "GET" },
            "id": ending.ask.id,
            "kind": ending.trouble,
            "fresh": ending.is_fresh,
            "reused": ending.was_reused,
            "resent": ending.resent,
            "asked_ms": ending.ask.shape.asked_ms(),
            "begun_ms": ending.begun_ms,
            "ended_ms": ended_ms,
            "answer_begun": ending.answer_begun,
        })
    );
}

/// Percentiles in milliseconds.
fn times(took_us: &mut [u32]) -> serde_json::Value {
    took_us.sort_unstable();
    let at = |share: f64| {
        let last = took_us.len().checked_sub(1)?;
        took_us.get((last as f64 * share).ceil() as usize).map(|us| f64::from(*us) / 1000.0)
    };
    json!({"p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999), "max_ms": at(1.0)})
}
