//! Messages for the property tests: mostly ones that are accepted, and sometimes a little off.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Names that a proxy acts on, names that look like them, and others.
const NAMES: &[&str] = &[
    "Content_Length",
    "x_forwarded_for",
    "X-Forwarded_Host",
    "Connection",
    "connection",
    "Connection",
    "Keep-Alive",
    "TE",
    "Upgrade",
    "upgrade",
    "Expect",
    "Accept",
    "Max-Forwards",
    "X-Request-Id",
    "traceparent",
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
    "Authorization",
    "Via",
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
    "18446744073709551616",
    "upgrade",
    "Upgrade, x-a",
    "websocket",
    "h2c, websocket, a/1.1",
    "h2c",
    "a/b/c",
    "/",
    "x-request-id, traceparent, te",
    "application/json;q=1, text/html",
    "9.9.9.9, 8.8.8.8,",
    ",",
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

const METHODS: &[&str] = &["GET", "GET", "HEAD", "POST", "OPTIONS", "TRACE", "BREW", "get"];

const TARGETS: &[&str] = &[
    "/",
    "/a/b?c=d",
    "http://b",
    "http://b?c",
    "http://b:81/c?d",
    "https://[::1]/",
    "HTTPS://B:",
    "//a",
    "/%00",
    "/%g?\"<|{[",
];

const ODD_TARGETS: &[&str] = &[
    "*",
    "a",
    "/#",
    "",
    "http://",
    "http:///a",
    "http://b#c",
    "http://u@b/",
    "http://b,c",
    "ftp://b/",
    "http:b",
    "http://[::g]/",
    "http://[1::2:3:4:5:6:7:8]/",
    "http://[1:2:3:4:5:6:7::]/",
    "http://[::ffff:1.2.3.04]/",
    "http://[::1.2.3.4]/",
    "http://[v1.a]/",
    "http://%zz%20/",
];

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
        "Connection: Upgrade\r\nUpgrade: a\r\nContent-Length: 5\r\n",
        "Connection: Upgrade\r\nUpgrade: a\r\nTransfer-Encoding: chunked\r\n",
        "Connection: Upgrade\r\nUpgrade: a\r\nContent-Length: 0\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Content-Length: +5\r\n",
    ];
    mostly(ordinary, odd)
}

pub(crate) fn requests() -> impl Strategy<Value = Vec<u8>> {
    let methods = mostly(METHODS, &["CONNECT", "G:T", "", "Options"]);
    let targets = mostly(TARGETS, ODD_TARGETS);
    let versions = mostly(
        &["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"],
        &["HTTP/2.0", "HTTP/1.1 ", "HTTP/12345678", "HTTP/123456789", "HTTP/", "HTTP/1.1.1"],
    );
    let hosts = mostly(
        &["Host: a\r\n", "host:b:80 \r\n"],
        &["", "Host: a b\r\n", "Host: [::1]:\r\n", "Host: :80\r\n", "Host: %41%4\r\n", "Host:\r\n"],
    );
    (mostly(&["", "\r\n"], &["\n"]), methods, targets, versions, hosts, fields(), framings()).prop_map(
        |(before, method, target, version, host, fields, framing)| {
            format!("{before}{method} {target} {version}\r\n{host}{fields}{framing}\r\n").into_bytes()
        },
    )
}

pub(crate) fn answers() -> impl Strategy<Value = Vec<u8>> {
    let lines = &[
        "HTTP/1.1 200 OK",
        "HTTP/1.1 204",
        "HTTP/1.1 304 x",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 103 y",
        "HTTP/1.1 101 ",
        "HTTP/1.1 426 U",
    ];
    (
        mostly(lines, &["HTTP/1.1 99 Z", "HTTP/1.1 099 Z", "HTTP/1.1 600 Z", "ICY 200 OK"]),
        fields(),
        framings(),
    )
        .prop_map(|(line, fields, framing)| format!("{line}\r\n{fields}{framing}\r\n").into_bytes())
}

const EXTENSIONS: &[&str] = &["", "", ";a", ";b=\"c\\\"\"", " ; a = b;c", ";", ";=", "; a =\"", " "];

const TRAILERS: &[&str] = &[
    "",
    "A: b\r\n",
    "A:\r\nB: c\r\n",
    "X-Request-Id: 1\r\n",
    "host: a\r\n",
    "A: b\r\nContent-Length: 1\r\n",
    "transfer_encoding: x\r\n",
    "Digest: sha-256=x\r\naccept:\r\n",
];

/// Chunks with a request behind them; `odd` ones may be a little off.
pub(crate) fn chunks(odd: bool) -> impl Strategy<Value = Vec<u8>> {
    let (extensions, trailers) =
        if odd { (EXTENSIONS, TRAILERS) } else { (&EXTENSIONS[..4], &TRAILERS[..4]) };
    (vec((1_usize..40, select(extensions)), 0..5), select(trailers)).prop_map(|(chunks, trailers)| {
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
