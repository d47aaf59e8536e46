//! Messages for the property tests: mostly ones that are accepted, and sometimes a little off.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Names that a proxy acts on, names that look like them, and others.
const NAMES: &[&str] = &[
    "Content_Length",
    "Connection",
    "connection",
    "Keep-Alive",
    "TE",
    "Upgrade",
    "Expect",
    "X-Forwarded-For",
    "x-forwarded-proto",
    "X-Forwarded-Host",
    "X-Real-IP",
    "Forwarded",
    "Proxy-Connection",
    "HTTP2-Settings",
    "Trailer",
    "Cookie",
    "X-A",
    "x-a",
    "X-B",
    "!#$%&'*+-.^_`|~",
];

const ODD_NAMES: &[&str] = &[
    "Host",
    "host",
    "Content-Length",
    "content-LENGTH",
    "Transfer-Encoding",
    "transfer-encoding",
    "",
    "a b",
];

const VALUES: &[&str] = &[
    "",
    "a",
    "a.example:80",
    "[::1]:80",
    "5",
    "0",
    "5, 5",
    "+5",
    "99999999999999999999",
    "chunked",
    "Chunked",
    "gzip, chunked",
    "identity",
    "close",
    "keep-alive",
    "x-a",
    "x-a, content-length, host, transfer-encoding",
    "X-Forwarded-For, x-real-ip",
    "100-continue",
    "trailers",
    "192.0.2.9",
    "\t",
    "\"quoted\"",
    "\u{e4}",
    "a:b,c;d",
];

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "OPTIONS", "BREW", "get"];

const TARGETS: &[&str] = &["/", "/a/b?c=d", "http://b", "http://b:81/c?d", "https://[::1]/", "//a", "/%00"];

/// Bytes that decide how a message is read.
const ODD_BYTES: &[u8] = b"\r\n\0 \t:,;/0159afx\x7f\x80\xff";

/// Mostly one of the first, sometimes one of the second.
fn mostly(
    ordinary: &'static [&'static str],
    odd: &'static [&'static str],
) -> impl Strategy<Value = &'static str> {
    prop_oneof![30 => select(ordinary), 1 => select(odd)]
}

fn fields() -> impl Strategy<Value = String> {
    let ends = mostly(&["\r\n"], &["\n", "\r", " \r\n", "\r\n "]);
    let colons = mostly(&[": ", ":", ": \t"], &[" :", ""]);
    vec((mostly(NAMES, ODD_NAMES), colons, select(VALUES), ends), 0..6).prop_map(|fields| {
        fields.into_iter().map(|(name, colon, value, end)| format!("{name}{colon}{value}{end}")).collect()
    })
}

/// The fields that say how long a body is.
fn framings() -> impl Strategy<Value = &'static str> {
    let ordinary = &["", "Content-Length: 5\r\n", "content-length:0\r\n", "Transfer-Encoding: chunked\r\n"];
    let odd = &[
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Content-Length: +5\r\n",
    ];
    mostly(ordinary, odd)
}

pub(crate) fn requests() -> impl Strategy<Value = Vec<u8>> {
    let methods = mostly(METHODS, &["CONNECT", "G:T", ""]);
    let targets = mostly(TARGETS, &["*", "a", "/#", "http://b?c", ""]);
    let versions = mostly(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"], &["HTTP/2.0", "HTTP/1.1 "]);
    let hosts = mostly(&["Host: a\r\n", "host:b:80 \r\n"], &["", "Host: a b\r\n"]);
    (mostly(&["", "\r\n"], &["\n"]), methods, targets, versions, hosts, fields(), framings()).prop_map(
        |(before, method, target, version, host, fields, framing)| {
            format!("{before}{method} {target} {version}\r\n{host}{fields}{framing}\r\n").into_bytes()
        },
    )
}

pub(crate) fn answers() -> impl Strategy<Value = Vec<u8>> {
    let lines = &["HTTP/1.1 200 OK", "HTTP/1.1 204", "HTTP/1.1 304 x", "HTTP/1.0 200 OK", "HTTP/1.1 103 y"];
    (mostly(lines, &["HTTP/1.1 99 Z", "ICY 200 OK"]), fields(), framings())
        .prop_map(|(line, fields, framing)| format!("{line}\r\n{fields}{framing}\r\n").into_bytes())
}

pub(crate) fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let data = vec((1_usize..40, select(&["", ";a", ";b=\"c\""][..])), 0..5);
    (data, select(&["", "A: b\r\n", "A:\r\nB: c\r\n"][..])).prop_map(|(chunks, trailers)| {
        let mut bytes = Vec::new();
        for (size, extension) in chunks {
            bytes.extend_from_slice(format!("{size:x}{extension}\r\n{}\r\n", "\n".repeat(size)).as_bytes());
        }
        bytes.extend_from_slice(format!("0\r\n{trailers}\r\nGET / HTTP/1.1\r\n").as_bytes());
        bytes
    })
}

/// As they are or, as often, with a few bytes put in, taken out or replaced somewhere.
pub(crate) fn mutated(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = || (any::<Index>(), 0_u8..3, select(ODD_BYTES));
    (bytes, prop_oneof![vec(change(), 0), vec(change(), 1..3)]).prop_map(|(mut bytes, changes)| {
        for (place, kind, byte) in changes {
            let at = place.index(bytes.len().max(1));
            match kind {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        bytes
    })
}
