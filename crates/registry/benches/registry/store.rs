//! The store in memory, without a socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_catalog::Offer;
use berth_model::{Registration, Run, Verify};
use berth_registry::Limits;
use berth_registry::store::{Key, Memory};

use crate::peer::resident_bytes;
use crate::tell;

const INSTANCES: usize = 100_000;
const SERVICES: usize = 100;
const TIME: Duration = Duration::from_secs(3);

pub(crate) fn run() {
    let store = Memory::alone(Limits::default());
    let run: Run = "7".parse().unwrap();
    let before = resident_bytes(std::process::id());
    let keys: Vec<Key> = (0..INSTANCES).map(|number| register(&store, number, run)).collect();
    let keys_bytes = keys.capacity() * size_of::<Key>();
    let bytes = resident_bytes(std::process::id()) - before - keys_bytes as u64;
    tell("store: bytes for each of 100,000 instances, with the log", bytes / INSTANCES as u64);

    let (start, mut renewals) = (Instant::now(), 0_u64);
    while start.elapsed() < TIME {
        for number in 0..1000 {
            // A stride that is no divisor, so that neighbours in memory do not follow each other.
            let key = &keys[(renewals as usize * 7919 + number * 31) % INSTANCES];
            store.renew(key, run).unwrap();
        }
        renewals += 1000;
    }
    let rate = renewals as f64 / start.elapsed().as_secs_f64();
    tell("store: renewals per second on one core, 100,000 instances", format_args!("{rate:.0}"));
}

fn register(store: &Arc<Memory>, number: usize, run: Run) -> Key {
    let (service, id) = (format!("service-{}", number % SERVICES), format!("instance-{number:016}"));
    let port = 1 + (number / SERVICES) as u16;
    let mut registration =
        Registration { run: Some(run), verify: Verify::None, ..Registration::of_port(port) };
    registration.version = Some("1.2.3".parse().unwrap());
    registration.meta.insert("zone".to_owned(), "x".to_owned());
    registration.ttl_s = 3600.0.try_into().unwrap();
    let host = [10, 0, (number % SERVICES) as u8, 1].into();
    let key: Key = (service.parse().unwrap(), id.parse().unwrap());
    let offer = Offer { service: key.0.clone(), id: key.1.clone(), registration, host, fresh: run };
    store.register(offer).unwrap();
    key
}
