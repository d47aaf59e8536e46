use super::read_some;
use crate::config::file::problem::Report;
use crate::config::file::route_keys::{BackendKeys, QueueKeys, RouteKeys};
use crate::config::file::spot::{Place, Spot};
use crate::config::{Capacity, QueueSettings, parse_time};

/// How many requests a backend takes, where a route or a backend says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct CapacityKeys<'k> {
    max_in_flight: Option<&'k Spot<u32>>,
    max_connections: Option<&'k Spot<u32>>,
    max_pending: Option<&'k Spot<u32>>,
    queue: Option<&'k Spot<QueueKeys>>,
}

shared_keys!(CapacityKeys: max_in_flight, max_connections, max_pending, queue);

impl CapacityKeys<'_> {
    pub(super) fn read(&self, report: &mut Report<'_>) -> Capacity {
        let value = |key: Option<&Spot<u32>>| key.map(|key| key.value);
        Capacity {
            most_in_flight: value(self.max_in_flight),
            most_connections: value(self.max_connections),
            most_pending: value(self.max_pending),
            queue: self.queue.map(|queue| self.read_queue(queue, report)).unwrap_or_default(),
        }
    }

    fn read_queue(&self, keys: &Spot<QueueKeys>, report: &mut Report<'_>) -> QueueSettings {
        let usual = QueueSettings::default();
        let hold_when_empty = keys.hold_when_empty.unwrap_or(usual.hold_when_empty);
        if self.max_in_flight.is_none() && !hold_when_empty {
            let message = "`queue` has no meaning without `max_in_flight` or `hold_when_empty: true`: nobody would wait";
            report.error(keys.place, message);
        }
        QueueSettings {
            length: keys.length.unwrap_or(usual.length),
            timeout: read_some(keys.timeout.as_ref(), "timeout", parse_time, report).unwrap_or(usual.timeout),
            hold_when_empty,
        }
    }
}
