//! How large a head may be, and what exceeds it gets.

use berth_http1::{BadAnswer, Limits, Lines, MAX_FIELDS, ResponseHead};

use crate::{LIMITS, laws, try_parse};

const SMALL: Limits = Limits { head_bytes: 200, target_bytes: 20, fields: 3 };

fn status(head: &str, limits: &Limits) -> Option<u16> {
    laws::request::holds(head.as_bytes(), limits);
    match try_parse(head.as_bytes(), limits) {
        Ok(Some(_)) => Some(200),
        Ok(None) => None,
        Err(refusal) => Some(refusal.status()),
    }
}

#[test]
fn the_target() {
    let head = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1));
    assert_eq!(status(&head(20), &SMALL), Some(200));
    assert_eq!(status(&head(21), &SMALL), Some(414));
    assert_eq!(status(&head(16 * 1024), &LIMITS), Some(200));
    assert_eq!(status(&head(16 * 1024 + 1), &LIMITS), Some(414));
}

#[test]
fn a_target_without_end_is_not_waited_for() {
    let line = |length: usize| format!("GET /{}", "x".repeat(length));
    assert_eq!(status(&line(19), &SMALL), None);
    assert_eq!(status(&line(20), &SMALL), Some(414));
}

#[test]
fn the_head() {
    let head = |length: usize| {
        let rest = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - rest))
    };
    assert_eq!(status(&head(200), &SMALL), Some(200));
    assert_eq!(status(&head(201), &SMALL), Some(431));
    // The empty line before it does not count.
    assert_eq!(status(&format!("\r\n{}", head(200)), &SMALL), Some(200));
    assert_eq!(status(&format!("\r\n{}", head(201)), &SMALL), Some(431));
    assert_eq!(status(&head(64 * 1024), &LIMITS), Some(200));
    assert_eq!(status(&head(64 * 1024 + 1), &LIMITS), Some(431));
    // Nor is one waited for that is as long already and not all there.
    assert_eq!(status(&head(300)[..199], &SMALL), None);
    assert_eq!(status(&head(300)[..200], &SMALL), Some(431));
    // The body behind it does not count.
    assert_eq!(status(&(head(200) + &"x".repeat(1000)), &SMALL), Some(200));
}

#[test]
fn the_fields() {
    let head = |count: usize| {
        let more: String = (1..count).map(|n| format!("X-{n}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n")
    };
    assert_eq!(status(&head(3), &SMALL), Some(200));
    assert_eq!(status(&head(4), &SMALL), Some(431));
    assert_eq!(status(&head(MAX_FIELDS), &LIMITS), Some(200));
    assert_eq!(status(&head(MAX_FIELDS + 1), &LIMITS), Some(431));
    // A limit beyond what a head can have is that.
    let more = Limits { fields: 1000, ..LIMITS };
    assert_eq!(status(&head(MAX_FIELDS), &more), Some(200));
    assert_eq!(status(&head(MAX_FIELDS + 1), &more), Some(431));
}

fn answer(head: &str) -> Result<bool, BadAnswer> {
    laws::answer::holds(head.as_bytes(), false);
    let mut space = Lines::default();
    ResponseHead::parse(head.as_bytes(), &mut space, false).map(|head| head.is_some())
}

#[test]
fn an_answers_head() {
    let head = |length: usize| {
        let rest = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(length - rest))
    };
    let most = 64 * 1024;
    assert_eq!(answer(&head(most)), Ok(true));
    assert_eq!(answer(&head(2 * most)[..most - 1]), Ok(false));
    assert!(answer(&head(2 * most)[..most]).is_err());
    assert!(answer(&head(most + 1)).is_err());
}

#[test]
fn an_answers_fields() {
    let head = |count: usize| {
        let fields: String = (0..count).map(|n| format!("X-{n}: y\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{fields}\r\n")
    };
    assert_eq!(answer(&head(MAX_FIELDS)), Ok(true));
    assert!(answer(&head(MAX_FIELDS + 1)).is_err());
}
