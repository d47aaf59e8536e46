use std::num::NonZeroU32;

use berth_http1::{Limits, Lines};

use crate::config::{Options, settle};

use super::*;

fn limit(requests: u32, per: Duration, burst: u32) -> RateLimit {
    let number = |number| NonZeroU32::new(number).unwrap();
    RateLimit { requests: number(requests), per, burst: number(burst), by: None }
}

#[test]
fn the_fields_of_a_refusal() {
    let second = Duration::from_secs(1);
    for (limit, wait, policy, expected) in [
        (limit(100, second, 50), second, "100;w=1;burst=50", (1, 50)),
        (limit(10, second * 60, 10), Duration::from_millis(5001), "10;w=60", (6, 10)),
        (limit(1, second * 86_400, 1), Duration::from_nanos(1), "1;w=86400", (1, 1)),
        (limit(1, second * 86_400, 365), second * 60, "1;w=86400;burst=365", (60, 365)),
        (limit(10, second / 2, 10), Duration::from_millis(50), "20;w=1", (1, 10)),
        (limit(10, second * 3 / 2, 10), Duration::ZERO, "13;w=2", (1, 10)),
    ] {
        let (wait_s, burst) = expected;
        let lines = [
            format!("Retry-After: {wait_s}"),
            format!("RateLimit-Limit: {burst}"),
            "RateLimit-Remaining: 0".to_owned(),
            format!("RateLimit-Reset: {wait_s}"),
            format!("RateLimit-Policy: {policy}"),
        ];
        assert_eq!(fields(&limit, wait), lines.map(|line| line + "\r\n").concat());
    }
}

/// Who has sent a request with these field lines from this peer. 10.0.0.0/8 and fd00::/8 are trusted.
fn sender_of(lines: &str, peer: &str) -> String {
    let mut general = settle(&Options::default(), None, 1000).unwrap().proxy;
    general.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let bytes = format!("GET / HTTP/1.1\r\nHost: test\r\n{lines}\r\n");
    let (mut parsed, limits) = (Lines::default(), Limits { head_bytes: 1000, target_bytes: 100, fields: 20 });
    let head = RequestHead::parse(bytes.as_bytes(), &mut parsed, &limits).unwrap().unwrap();
    sender(&head, &general, peer.parse().unwrap()).to_string()
}

#[test]
fn only_who_is_trusted_is_believed() {
    let of = |value: &str, peer| sender_of(&format!("X-Forwarded-For: {value}\r\n"), peer);
    assert_eq!(of("1.1.1.1", "2.2.2.2"), "2.2.2.2");
    assert_eq!(of("1.1.1.1", "10.0.0.1"), "1.1.1.1");
    assert_eq!(of("1.1.1.1", "::ffff:10.0.0.1"), "1.1.1.1");
    assert_eq!(of("9.9.9.9, 1.1.1.1", "10.0.0.1"), "1.1.1.1", "what a client claims is worth nothing");
    assert_eq!(of("9.9.9.9,1.1.1.1 , 10.0.0.2,,fd00::1, ", "10.0.0.1"), "1.1.1.1");
    assert_eq!(of("10.0.0.3, 10.0.0.2", "10.0.0.1"), "10.0.0.3");
    assert_eq!(of("9.9.9.9, unknown", "10.0.0.1"), "10.0.0.1");
    assert_eq!(of("9.9.9.9, unknown, 10.0.0.2", "10.0.0.1"), "10.0.0.2");
    assert_eq!(of("", "10.0.0.1"), "10.0.0.1");
    assert_eq!(sender_of("", "10.0.0.1"), "10.0.0.1");
    for entry in ["[2001:db8::1]:80", "[2001:db8::1]", "2001:db8::1"] {
        assert_eq!(of(entry, "10.0.0.1"), "2001:db8::1");
    }
    assert_eq!(of("1.1.1.1:5000", "10.0.0.1"), "1.1.1.1");
}

#[test]
fn the_last_field_is_the_nearest() {
    let lines = "X-Forwarded-For: 9.9.9.9\r\nX: y\r\nx-forwarded-for: 1.1.1.1, 10.0.0.2\r\n";
    assert_eq!(sender_of(lines, "10.0.0.1"), "1.1.1.1");
}
