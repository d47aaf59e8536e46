//! What a balancer may be told, as text.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

use std::path::PathBuf;

use berth_balancer::AccessTarget;
use berth_balancer::config::{Upstream, parse_size};

#[test]
fn upstreams() {
    let accepted = [
        ("localhost:3000", "localhost", 3000, "localhost:3000"),
        ("http://localhost:3000", "localhost", 3000, "localhost:3000"),
        ("http://localhost:3000/", "localhost", 3000, "localhost:3000"),
        ("example.org", "example.org", 80, "example.org:80"),
        ("a_b-c.example:1", "a_b-c.example", 1, "a_b-c.example:1"),
        ("10.0.0.7:65535", "10.0.0.7", 65535, "10.0.0.7:65535"),
        ("[::1]:3000", "::1", 3000, "[::1]:3000"),
        ("http://[2001:db8::1]", "2001:db8::1", 80, "[2001:db8::1]:80"),
        ("https://example.org", "example.org", 443, "https://example.org:443"),
        ("https://10.0.0.7:8443/", "10.0.0.7", 8443, "https://10.0.0.7:8443"),
    ];
    for (text, host, port, shown) in accepted {
        let upstream: Upstream = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((upstream.host.as_str(), upstream.port), (host, port), "{text}");
        assert_eq!(upstream.to_string(), shown);
        assert_eq!(shown.parse::<Upstream>().unwrap(), upstream);
    }
}

#[test]
fn what_is_no_upstream() {
    let refused = [
        "",
        ":3000",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:http",
        "localhost:+80",
        "localhost:-1",
        "local host:80",
        "localhost:80:81",
        "::1",
        "::1:3000",
        "[::1",
        "[::1]3000",
        "[]:80",
        "[a]:80",
        "[::1]:0",
        "user@localhost:80",
        "localhost:80/path",
        "http://localhost:80/a/",
        "http://localhost:80?a",
        "localhost#a",
        "http://",
        "ftp://localhost:21",
        "HTTP//localhost",
        "a,b",
        "b\u{fc}cher.example",
    ];
    for text in refused {
        let problem = text.parse::<Upstream>().expect_err(text).to_string();
        assert!(problem.contains("upstream") && problem.contains(&format!("\"{text}\"")), "{problem}");
    }
}

#[test]
fn sizes() {
    let accepted = [
        ("0", 0),
        ("65536", 65536),
        ("64KiB", 64 * 1024),
        ("64kib", 64 * 1024),
        ("64K", 64 * 1024),
        ("64 KiB", 64 * 1024),
        ("64KB", 64_000),
        ("5b", 5),
        ("3MiB", 3 * 1024 * 1024),
        ("3m", 3 * 1024 * 1024),
        ("3MB", 3_000_000),
        ("2GiB", 2 << 30),
        ("2g", 2 << 30),
        ("2GB", 2_000_000_000),
    ];
    for (text, bytes) in accepted {
        assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
    }
    for text in [
        "",
        "KiB",
        "-1",
        "+1",
        "1.5MiB",
        "1TiB",
        "64 Ki B",
        "0x10",
        "1_000",
        "99999999999999999999",
        "18446744073709551615KiB",
        "\u{0665}",
    ] {
        let problem = parse_size(text).expect_err(text).to_string();
        assert!(problem.contains("size"), "{problem}");
    }
}

#[test]
fn access_logs() {
    assert_eq!(AccessTarget::parse("off"), AccessTarget::Off);
    assert_eq!(AccessTarget::parse("-"), AccessTarget::Stdout);
    assert_eq!(AccessTarget::parse("/tmp/off"), AccessTarget::File(PathBuf::from("/tmp/off")));
}
