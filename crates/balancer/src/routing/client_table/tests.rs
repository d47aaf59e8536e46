use super::*;

#[test]
fn a_full_set_lets_go_of_whoever_is_due_next() {
    let table = ClientTable::default();
    let in_one_set = |number: u64| number << 32;
    let remember = |number: u64, at_ns: u64| {
        table.update(in_one_set(number), |before| Ok::<_, ()>((before, Some(at_ns)))).unwrap()
    };
    for (number, at_ns) in [50, 20, 60, 30, 80, 10, 70, 40].into_iter().enumerate() {
        assert_eq!(remember(number as u64, at_ns), None);
    }
    assert_eq!(remember(5, 90), Some(10), "all are known");
    assert_eq!(remember(8, 100), None);
    assert_eq!(remember(1, 110), None, "who was due next has gone");
    assert_eq!(remember(3, 120), None, "and then the next one");
    for (number, at_ns) in [(0, 50), (2, 60), (4, 80), (6, 70), (5, 90), (8, 100), (1, 110), (3, 120)] {
        assert_eq!(remember(number, at_ns + 1000), Some(at_ns));
    }
}

#[test]
fn neither_a_refusal_nor_a_look_leaves_a_trace() {
    let table = ClientTable::default();
    assert_eq!(table.update(1, |_| Err::<((), _), _>("no")), Err("no"));
    assert_eq!(table.update(1, |before| Ok::<_, ()>((before, None))), Ok(None));
    assert_eq!(table.size().1, 0);
}
