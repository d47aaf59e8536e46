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
            let Some(identity) = self.keys.get(&key).cloned() else { continue };
            let Some(tracked) = self.endpoints.get_mut(&identity) else { continue };
            let Some(endpoint) = tracked.place.as_ref().map(|place| Arc::clone(&place.endpoint)) else {
                continue;
            };
            // From here on they are told of again, if it is not watched any longer.
            endpoint.signals().take_failures().for_each(|signal| tracked.signalled(now, signal));
            let Some((rate, goes_on)) = tracked.count_failures(now, &endpoint) else { continue };
            if goes_on {
                for membership in tracked.place.iter().flat_map(|place| &place.memberships) {
                    *sums.entry(Arc::clone(&membership.group)).or_default() += rate;
                }
                self.watched.insert(key);
                rates.push((key, rate));
            }
            self.settle(now, &identity);
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
