use std::time::{Duration, Instant};

use super::WriteGate;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_stall_closes_the_gate_for_a_second() {
    let start = Instant::now();
    let gate = WriteGate::open(start);
    gate.tick(start + 250 * MS);
    assert!(gate.is_open(start + 1250 * MS), "exactly a second is no stall");
    assert!(!gate.is_open(start + 1251 * MS), "a request that comes before the clock's tick");
    let woken = start + 5000 * MS;
    gate.tick(woken);
    gate.tick(woken + 250 * MS);
    assert!(!gate.is_open(woken + 999 * MS));
    assert!(gate.is_open(woken + 1000 * MS));
}
