//! The exact bytes that go upstream.

use berth_http1::forward::replace_host;

use crate::{STRANGER, TRUSTED, forward, forward_bytes, forwarded, forwarded_from, traced};

#[test]
fn a_request_keeps_its_lines_and_gets_four() {
    let lines = "GET /a%2Fb/../c?d=%20&e HTTP/1.1\r\nhOsT: example.org:8080\r\nUser-Agent:curl\r\nX-A:  two  blanks \r\n\
                 accept: */*\r\nCookie: a=b\r\nCookie: c=d\r\nVia: 1.0 fred\r\nDate: now\r\nTrailer: x\r\n";
    assert_eq!(forward(format!("{lines}\r\n"), &STRANGER), lines.to_owned() + &forwarded("example.org:8080"));
}

#[test]
fn a_body_and_its_framing_are_announced_as_they_came() {
    for framing in
        ["Content-Length: 5", "content-length:005", "Transfer-Encoding: chunked", "transfer-encoding:CHUNKED"]
    {
        let lines = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\nExpect: 100-continue\r\n");
        assert_eq!(forward(format!("{lines}\r\nhello"), &STRANGER), lines + &forwarded("a"));
    }
}

#[test]
fn bytes_beyond_ascii_pass() {
    let sent = forward_bytes(b"GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xff\r\n\r\n", &STRANGER);
    assert!(sent.starts_with(b"GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xff\r\nX-Forwarded-For"));
}

#[test]
fn a_head_without_fields_of_its_own() {
    assert_eq!(
        forward("GET /a HTTP/1.0\r\n\r\n", &STRANGER),
        "GET /a HTTP/1.1\r\nHost: 10.0.0.1:80\r\n".to_owned() + &forwarded_from("1.0", "10.0.0.1:80")
    );
}

#[test]
fn http_1_0_goes_on_as_http_1_1() {
    assert_eq!(
        forward(
            "POST /a HTTP/1.0\r\nHost: b\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
            &STRANGER
        ),
        "POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\n".to_owned() + &forwarded_from("1.0", "b")
    );
}

#[test]
fn an_absolute_target_becomes_path_and_host() {
    let cases = [
        ("GET", "http://b:81/c?d", "/c?d", "b:81"),
        ("GET", "https://b", "/", "b"),
        ("GET", "http://b?c", "/?c", "b"),
        ("OPTIONS", "http://b?c", "/?c", "b"),
        ("OPTIONS", "http://b", "*", "b"),
    ];
    for (method, target, path, host) in cases {
        assert_eq!(
            forward(format!("{method} {target} HTTP/1.1\r\nA: b\r\nHost: other\r\nC: d\r\n\r\n"), &STRANGER),
            format!("{method} {path} HTTP/1.1\r\nA: b\r\nC: d\r\nHost: {host}\r\n") + &forwarded(host)
        );
    }
}

#[test]
fn an_empty_line_before_the_request_does_not_go_on() {
    assert_eq!(
        forward("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &STRANGER),
        "GET / HTTP/1.1\r\nHost: a\r\n".to_owned() + &forwarded("a")
    );
}

#[test]
fn what_a_stranger_claims_is_dropped() {
    let claims = "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7\r\nX-Forwarded-Proto: https\r\n\
                  X-FORWARDED-HOST: evil\r\nX-Real-Ip: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n";
    let expected = "GET / HTTP/1.1\r\nA: b\r\nHost: a\r\nC: d\r\n".to_owned() + &forwarded("a");
    assert_eq!(
        forward(format!("GET / HTTP/1.1\r\nA: b\r\n{claims}Host: a\r\nC: d\r\n\r\n"), &STRANGER),
        expected
    );
    // Naming them in Connection makes no difference.
    let named = "Connection: X-Forwarded-For, X-Real-IP, X-Forwarded-Proto\r\n";
    let head = format!("GET / HTTP/1.1\r\nA: b\r\n{claims}{named}Host: a\r\nC: d\r\n\r\n");
    assert_eq!(forward(head, &STRANGER), expected);
}

#[test]
fn what_a_trusted_peer_says_is_continued() {
    let said = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\nX-Real-IP: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\n";
    assert_eq!(
        forward(
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9, 8.8.8.8\r\n{said}\r\n"),
            &TRUSTED
        ),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{said}X-Forwarded-For: 9.9.9.9, 8.8.8.8, 192.0.2.1\r\n")
            + &traced("1.1")
    );
}

#[test]
fn several_lines_of_addresses_become_one() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For:\r\nX: y\r\n\
                x-forwarded-for: 8.8.8.8 , 7.7.7.7\r\n\r\n";
    let sent = forward(head, &TRUSTED);
    assert!(sent.contains("\r\nX-Forwarded-For: 9.9.9.9, 8.8.8.8 , 7.7.7.7, 192.0.2.1\r\n"), "{sent}");
    assert_eq!(sent.to_lowercase().matches("x-forwarded-for").count(), 1, "{sent}");
}

#[test]
fn what_a_trusted_peer_leaves_out_is_said_here() {
    assert_eq!(
        forward("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9, 8.8.8.8\r\n\r\n", &TRUSTED),
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9, 8.8.8.8, 192.0.2.1\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: a\r\nX-Real-IP: 8.8.8.8\r\n"
            .to_owned()
            + &traced("1.1")
    );
    assert_eq!(
        forward("GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nHost: a\r\n\r\n", &TRUSTED),
        "GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\
         X-Forwarded-Host: a\r\nX-Real-IP: 192.0.2.1\r\n"
            .to_owned()
            + &traced("1.1")
    );
    assert_eq!(
        forward("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &TRUSTED),
        "GET / HTTP/1.1\r\nHost: a\r\n".to_owned() + &forwarded("a")
    );
}

#[test]
fn an_expectation_of_http_1_0_is_none() {
    let lines = "PUT / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(
        forward(lines, &STRANGER),
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n".to_owned() + &forwarded_from("1.0", "a")
    );
}

#[test]
fn an_address_is_taken_from_a_list_with_holes() {
    for (line, nearest) in [("9.9.9.9, 8.8.8.8,", "8.8.8.8"), ("9.9.9.9 ,, ", "9.9.9.9"), (",", "192.0.2.1")]
    {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {line}\r\n\r\n");
        let sent = forward(head, &TRUSTED);
        assert!(sent.contains(&format!("\r\nX-Real-IP: {nearest}\r\n")), "{sent}");
    }
}

#[test]
fn a_host_is_replaced_where_it_stands() {
    let cases = [
        ("GET / HTTP/1.1\r\nhOsT:\ta:80 \r\nA: b\r\n\r\n", "hOsT: new\r\n", "a:80"),
        ("GET / HTTP/1.1\r\nX-Host: c\r\nA: host: d\r\nHost: a\r\n\r\n", "Host: new\r\n", "a"),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n", "Host: new\r\n", "b"),
        ("GET /host:?host: HTTP/1.0\r\n\r\n", "Host: new\r\n", "10.0.0.1:80"),
    ];
    for (head, line, before) in cases {
        let sent = forward(head, &STRANGER);
        let mut replaced = sent.clone().into_bytes();
        assert_eq!(replace_host(&mut replaced, b"new").as_deref(), Some(before.as_bytes()));
        let is_host = |line: &&str| line.to_ascii_lowercase().starts_with("host:");
        let old = sent.split_inclusive('\n').find(is_host).unwrap();
        assert_eq!(String::from_utf8(replaced).unwrap(), sent.replacen(old, line, 1));
    }
    let mut none = b"GET / HTTP/1.1\r\nA: b\r\n\r\nHost: in the body\r\n".to_vec();
    assert_eq!(replace_host(&mut none, b"new"), None);
    assert!(none.ends_with(b"Host: in the body\r\n"));
}
