use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use berth_model::{InstanceId, ServiceName};
use dashmap::DashMap;

type Key = (ServiceName, InstanceId);

/// Which instances are live at which address, and how many records each host has.
///
/// Its locks are taken while a record's shard is locked, and hold nothing else.
#[derive(Debug, Default)]
pub(super) struct Places {
    // Nearly always one: several only when a process registers twice, or has crashed and its successor is there.
    live: DashMap<SocketAddr, Vec<Key>>,
    records: DashMap<IpAddr, usize>,
}

impl Places {
    pub(super) fn join(&self, address: SocketAddr, key: &Key) {
        let mut keys = self.live.entry(address).or_default();
        if !keys.contains(key) {
            keys.reserve_exact(1);
            keys.push(key.clone());
        }
    }

    pub(super) fn leave(&self, address: SocketAddr, key: &Key) {
        let Some(mut keys) = self.live.get_mut(&address) else { return };
        keys.retain(|known| known != key);
        let abandoned = keys.is_empty();
        drop(keys);
        if abandoned {
            self.live.remove_if(&address, |_, keys| keys.is_empty());
        }
    }

    /// Who else is live at an address.
    pub(super) fn others(&self, address: SocketAddr, key: &Key) -> Vec<Key> {
        let others = |keys: &Vec<Key>| keys.iter().filter(|other| *other != key).cloned().collect();
        self.live.view(&address, |_, keys| others(keys)).unwrap_or_default()
    }

    /// How many records a host has.
    pub(super) fn records(&self, host: Host) -> usize {
        self.records.view(&host.0, |_, count| *count).unwrap_or_default()
    }

    pub(super) fn count(&self, host: Host) {
        *self.records.entry(host.0).or_default() += 1;
    }

    pub(super) fn uncount(&self, host: Host) {
        if let Some(mut count) = self.records.get_mut(&host.0) {
            *count = count.saturating_sub(1);
        }
        self.records.remove_if(&host.0, |_, count| *count == 0);
    }
}

/// A host address as it is counted. All of loopback is one, and so is a network of IPv6 (/64): whoever has one address
/// of it has all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host(IpAddr);

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            loopback if loopback.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}
