//! What is known of one registry.

use std::collections::HashSet;
use std::time::Duration;

use berth_fleet::Fleet;
use berth_model::{Identity, Instance};

use super::SavedRegistry;

/// After a registry's new epoch, absence means nothing for so long, or for the lease's length if that is longer:
/// whoever lives has then registered again.
const NEW_EPOCH_GRACE: Duration = Duration::from_secs(15);

/// What the file says of a registry, or is to say.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) saved: SavedRegistry,
    /// The epoch that has begun since, and when it was first heard of. Whom it does not list yet is kept for a while,
    /// and until then the file tells the epoch before: whoever reads it is as patient.
    begun: Option<(u64, Duration)>,
}

impl From<SavedRegistry> for Known {
    fn from(saved: SavedRegistry) -> Self {
        Self { saved, begun: None }
    }
}

impl Known {
    /// What is known after what the registry lists by now.
    pub(super) fn after(
        before: Option<Self>,
        mut listed: SavedRegistry,
        now: Duration,
        fleet: &Fleet,
    ) -> Self {
        let Some(Self { saved, begun }) = before.filter(|before| before.saved.epoch != listed.epoch) else {
            return listed.into();
        };
        let begun = listed.epoch.map(|epoch| match begun {
            Some((known, at)) if known == epoch => (epoch, at),
            _ => (epoch, now),
        });
        let since = begun.map_or(now, |(_, at)| at);
        let present: HashSet<Identity> = listed.instances.iter().map(|it| it.identity()).collect();
        let is_awaited = |instance: &Instance| {
            let identity = instance.identity();
            awaited_until(instance, since) > now
                && !present.contains(&identity)
                && !fleet.has_ended(&identity)
        };
        let awaited: Vec<_> = saved.instances.into_iter().filter(|it| is_awaited(it)).collect();
        if awaited.is_empty() {
            return listed.into();
        }
        listed.instances.extend(awaited);
        Self { saved: SavedRegistry { epoch: saved.epoch, ..listed }, begun }
    }

    /// Another registry may tell of ends that were intended.
    pub(super) fn forget_ended(&mut self, fleet: &Fleet) {
        self.saved.instances.retain(|instance| !fleet.has_ended(&instance.identity()));
    }

    /// When the next of those is forgotten that a new epoch does not list.
    pub(super) fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let (_, since) = self.begun?;
        let ends = self.saved.instances.iter().map(|instance| awaited_until(instance, since));
        ends.filter(|until| *until > now).min()
    }
}

fn awaited_until(instance: &Instance, since: Duration) -> Duration {
    since + NEW_EPOCH_GRACE.max(instance.ttl_s.duration())
}
