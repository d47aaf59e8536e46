//! Ordinary messages with one byte changed, put in or taken out: every byte in every place.

use crate::laws::{self, LIMITS};

/// All messages that are one byte away from this one.
fn one_byte_away(bytes: &[u8], mut look: impl FnMut(&[u8])) {
    look(bytes);
    for at in 0..=bytes.len() {
        let (before, after) = bytes.split_at(at);
        look(before);
        if let [_, rest @ ..] = after {
            look(&[before, rest].concat());
        }
        for byte in 0..=u8::MAX {
            look(&[before, &[byte], after].concat());
            if let [_, rest @ ..] = after {
                look(&[before, &[byte], rest].concat());
            }
        }
    }
}

#[test]
fn of_a_request() {
    let heads: [&[u8]; 2] = [
        b"POST /a?b HTTP/1.1\r\nHost: a:8\r\nContent-Length: 5\r\nX: y\r\n\r\n",
        b"\r\nOPTIONS http://[::1] HTTP/1.0\r\nUpgrade-Insecure: 1\r\nMax-Forwards: 1\r\n\r\n",
    ];
    for head in heads {
        one_byte_away(head, |bytes| {
            laws::request::holds(bytes, &LIMITS);
            laws::forwarding::holds(bytes);
        });
    }
}

#[test]
fn of_an_answer() {
    let head = b"HTTP/1.1 200 OK\r\nConnection: x\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n";
    one_byte_away(head, |bytes| laws::answer::holds(bytes, false));
}

#[test]
fn of_chunks() {
    one_byte_away(b"a;b=c\r\n0123456789\r\n000\r\nHost-: a\r\nB: c\r\n\r\n", laws::chunked::holds);
}
