//! The store alone, under threads: a reading is exactly what the journal tells, at the revision that it names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use berth_catalog::Offer;
use berth_daemon::RunningClock;
use berth_model::{ChangeKind, InstanceId, Patch, Registration, Run, ServiceName, Verify};

use super::{Memory, Reading};
use crate::Limits;
use crate::telemetry::Telemetry;

/// Enough that a reading takes longer than many changes.
const IDS: u16 = 1_000;
const WRITERS: u16 = 3;
const READINGS: usize = 30;

/// What is compared: where each instance is, how heavy, and who ended.
type State = (
    BTreeMap<(ServiceName, InstanceId), (Run, u16, u16)>,
    BTreeMap<(ServiceName, InstanceId, Run), &'static str>,
);

fn store() -> Arc<Memory> {
    let limits = Limits { log_entries: 10_000_000, log_bytes: usize::MAX, ..Limits::default() };
    Memory::new(limits, RunningClock::start(), Telemetry::default()).0
}

fn key(number: u16) -> (ServiceName, InstanceId) {
    let service = format!("s{}", number % 7);
    (service.parse().unwrap(), number.to_string().parse().unwrap())
}

fn put(store: &Arc<Memory>, number: u16, port: u16) {
    let (service, id) = key(number);
    let fresh = Run::new(1, u64::from(port));
    let host = "127.0.0.1".parse().unwrap();
    let registration = Registration { verify: Verify::None, ..Registration::of_port(port) };
    store.register(Offer { service, id, registration, host, fresh }).unwrap();
}

fn write(store: &Arc<Memory>, writer: u16, stop: &AtomicBool) {
    for step in (0..=u16::MAX).cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let number = step.wrapping_mul(37 + writer) % IDS;
        match (step % 4 + writer) % 4 {
            0 | 1 => put(store, number, 1 + step % 50_000),
            2 => drop(store.patch(&key(number), &Patch { weight: Some(1 + step % 900), ..Patch::default() })),
            _ => drop(store.end(&key(number), None)),
        }
    }
}

fn state(reading: &Reading) -> State {
    let live = reading.instances().map(|instance| {
        let key = (instance.service.clone(), instance.id.clone());
        (key, (instance.run, instance.port, instance.weight))
    });
    let ended = reading.ended().map(|ended| ((ended.service, ended.id, ended.run), ended.reason.as_str()));
    (live.collect(), ended.collect())
}

/// The journal replayed, stopping at each revision that a reading names.
fn replay(store: &Memory, readings: &BTreeMap<u64, State>) {
    let (mut live, mut ended) = State::default();
    let mut compared = 0;
    for entry in store.journal.since(0, usize::MAX).unwrap() {
        let instance = &entry.event.instance;
        let key = (instance.service.clone(), instance.id.clone());
        let stone = (key.0.clone(), key.1.clone(), instance.run);
        if entry.event.kind == ChangeKind::Left {
            live.remove(&key);
            ended.insert(stone, entry.event.reason.unwrap().as_str());
        } else {
            live.insert(key, (instance.run, instance.port, instance.weight));
            ended.remove(&stone);
        }
        if let Some((read_live, read_ended)) = readings.get(&entry.revision.sequence) {
            compared += 1;
            assert!(*read_live == live, "the live ones at {}", entry.revision);
            // Of an id that is ended very often the store forgets the oldest ends.
            assert!(
                read_ended.iter().all(|(stone, reason)| ended.get(stone) == Some(reason)),
                "an end too many"
            );
        }
    }
    assert_eq!(compared, readings.len());
}

#[test]
fn a_reading_amid_changes_is_exact() {
    let store = store();
    (0..IDS).for_each(|number| put(&store, number, 1));
    let stop = AtomicBool::new(false);
    let readings = thread::scope(|threads| {
        for writer in 0..WRITERS {
            let (store, stop) = (&store, &stop);
            threads.spawn(move || write(store, writer, stop));
        }
        let readings = (0..READINGS).map(|_| store.read(None));
        let readings = readings.map(|reading| (reading.revision.sequence, state(&reading))).collect();
        stop.store(true, Ordering::Relaxed);
        readings
    });
    replay(&store, &readings);
}
