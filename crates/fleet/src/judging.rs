//! Whose requests fail more often than others'.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::Fleet;
use crate::choice::Class;
use crate::failures::LOOK_EVERY;
use crate::groups::Group;

impl Fleet {
    /// Looks whose requests fail more often than others'.
    pub(crate) fn look_at_failures(&mut self, now: Duration) {
        let mut sums = HashMap::<Group, f64>::new();
        let mut rates = Vec::new();
        for key in std::mem::take(&mut self.watched) {
            let Some(tracked) = self.keys.get(&key).and_then(|it| self.endpoints.get_mut(it)) else {
                continue;
            };
            let (Some(place), Some(watched)) = (&tracked.place, &mut tracked.watched) else { continue };
            let endpoint = &place.endpoint;
            if !watched.count(now, endpoint.requests(), endpoint.signals().failures()) {
                tracked.watched = None;
                continue;
            }
            for membership in &place.memberships {
                *sums.entry(Arc::clone(&membership.group)).or_default() += watched.rate();
            }
            self.watched.insert(key);
            rates.push((key, watched.rate()));
        }
        for (key, rate) in rates {
            self.judge_failures(now, key, rate, &sums);
        }
        self.look_at = (!self.watched.is_empty()).then_some(now + LOOK_EVERY);
    }

    /// Ejects an endpoint if it fails more than the others in each of its groups, and enough of these are left.
    fn judge_failures(&mut self, now: Duration, key: u64, rate: f64, sums: &HashMap<Group, f64>) {
        let Some(identity) = self.keys.get(&key).cloned() else { return };
        let Some(tracked) = self.endpoints.get(&identity) else { return };
        let (Some(place), Some(watched)) = (&tracked.place, &tracked.watched) else { return };
        let stands_out = place.memberships.iter().all(|membership| {
            let Some(group) = self.groups.get(&membership.group) else { return false };
            let able = group.able();
            let others = sums.get(&membership.group).copied().unwrap_or_default() - rate;
            let left = group.counts.of(Class::Ejected) + 1;
            2 * left <= able && watched.stands_out(others / able.saturating_sub(1).max(1) as f64)
        });
        if stands_out && tracked.ejection.is_none() && !place.memberships.is_empty() {
            if let Some(tracked) = self.endpoints.get_mut(&identity) {
                tracked.fail(now);
            }
            self.watched.remove(&key);
            self.settle(now, &identity);
        }
    }
}
