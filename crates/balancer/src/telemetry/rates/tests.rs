use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Looked at every second, with so many requests in each.
fn run(meter: &mut Meter, seconds: usize, each: u64) {
    for _ in 0..seconds {
        meter.sample(meter.total + each, SECOND);
    }
}

fn is_close(value: f64, expected: f64) -> bool {
    (value - expected).abs() < 1e-9
}

#[test]
fn a_meter_begins_at_zero_with_what_was_there() {
    let mut meter = Meter::begin(1_000_000);
    meter.sample(1_000_000, SECOND);
    assert_eq!(meter, Meter { total: 1_000_000, ..Meter::default() });
    meter.sample(1_000_006, 2 * SECOND);
    assert_eq!((meter.total, meter.last), (1_000_006, 3.0));
}

#[test]
fn means_follow_in_their_time() {
    let mut meter = Meter::begin(5);
    run(&mut meter, 10, 100);
    let e = std::f64::consts::E;
    assert_eq!(meter.last, 100.0);
    assert!(is_close(meter.short, 100.0 * (1.0 - 1.0 / e)), "{meter:?}");
    run(&mut meter, 50, 100);
    assert!(is_close(meter.long, 100.0 * (1.0 - 1.0 / e)), "{meter:?}");
    run(&mut meter, 1000, 100);
    assert!((meter.short - 100.0).abs() < 0.01 && (meter.long - 100.0).abs() < 0.01, "{meter:?}");
    run(&mut meter, 1, 0);
    assert!(meter.last == 0.0 && meter.short > 90.0 && meter.long > meter.short, "{meter:?}");
    // How often it is looked at makes no difference to a steady rate.
    let (mut often, mut seldom) = (Meter::default(), Meter::default());
    run(&mut often, 8, 7);
    seldom.sample(56, 8 * SECOND);
    assert!(is_close(often.short, seldom.short) && is_close(often.long, seldom.long), "{often:?} {seldom:?}");
}

#[test]
fn no_look_makes_nonsense() {
    let mut meter = Meter::begin(10);
    // Two looks at once.
    meter.sample(20, Duration::ZERO);
    assert_eq!(meter, Meter { total: 20, ..Meter::default() });
    // Another of the same name, which has counted less.
    meter.sample(3, SECOND);
    assert_eq!((meter.total, meter.last), (3, 0.0));
    meter.sample(4, SECOND);
    assert_eq!(meter.last, 1.0);
}

#[test]
fn what_is_new_begins_and_what_is_gone_is_forgotten() {
    let mut meters = HashMap::new();
    sample(&mut meters, [("old", 5), ("kept", 5)].into_iter(), SECOND);
    assert_eq!(meters["kept"].last, 0.0);
    sample(&mut meters, [("kept", 9), ("new", 7)].into_iter(), SECOND);
    assert_eq!((meters["kept"].last, meters["new"].last), (4.0, 0.0));
    assert!(!meters.contains_key("old"), "{meters:?}");
    // Whoever comes back begins anew.
    sample(&mut meters, [("old", 50)].into_iter(), SECOND);
    assert_eq!((meters.len(), meters["old"].last), (1, 0.0));
}

#[test]
fn figures_have_one_decimal() {
    let meter = Meter { total: 1, last: 0.25, short: 1234.5678, long: 0.049 };
    let figures = serde_json::to_value(Figures::of(7, Some(&meter))).unwrap();
    let expected = serde_json::json!({
        "requests": 7, "per_second": 0.3, "per_second_10s": 1234.6, "per_second_60s": 0.0
    });
    assert_eq!(figures, expected);
    assert_eq!(serde_json::to_value(Figures::of(7, None)).unwrap()["per_second"], 0.0);
}
