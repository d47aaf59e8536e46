//! Ordinary exchanges, byte by byte.

use berth_testkit::{Listening, Wire};

use crate::harness::{Balancer, expect, forwarded, forwarded_get, get};

/// One exchange on a connection of its own: what arrives upstream, then what arrives at the client.
fn exchange(sent: &str, expected_upstream: &str, answer: &str, expected: &str) -> (Wire, Wire) {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(sent);
    let mut server = upstream.accept();
    expect(&mut server, expected_upstream);
    server.expect_silence();
    server.send(answer);
    expect(&mut client, expected);
    client.expect_silence();
    // The connection serves another request, so nothing of the first was left on it.
    client.send(get("/again"));
    expect(&mut server, forwarded_get("/again"));
    server.send("HTTP/1.1 204 No Content\r\n\r\n");
    expect(&mut client, "HTTP/1.1 204 No Content\r\n\r\n");
    (client, server)
}

/// An exchange whose answer passes as it came.
fn answered(sent: &str, expected_upstream: &str, answer: &str) {
    exchange(sent, expected_upstream, answer, answer);
}

#[test]
fn get_by_length() {
    let answer = "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\nX-Odd:  \t a \r\n\r\nhello";
    answered(&get("/a%20b?c=d"), &forwarded_get("/a%20b?c=d"), answer);
}

#[test]
fn get_in_chunks() {
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";
    answered(&get("/"), &forwarded_get("/"), answer);
}

#[test]
fn get_without_content() {
    answered(&get("/"), &forwarded_get("/"), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    answered(
        &get("/"),
        &forwarded_get("/"),
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: x\r\n\r\n",
    );
    answered(&get("/"), &forwarded_get("/"), "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn no_content_has_no_length() {
    let (answer, expected) = (
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nA: b\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n",
    );
    exchange(&get("/"), &forwarded_get("/"), answer, expected);
}

#[test]
fn head() {
    let sent = "HEAD / HTTP/1.1\r\nHost: test\r\n\r\n";
    let upstream = format!("HEAD / HTTP/1.1\r\nHost: test\r\n{}", forwarded("test"));
    answered(sent, &upstream, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
    answered(sent, &upstream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    answered(sent, &upstream, "HTTP/1.1 200 OK\r\n\r\n");
}

#[test]
fn post_by_length() {
    let lines = "POST /p HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n";
    let body = "hello\r\n\r\n\0!";
    answered(
        &format!("{lines}\r\n{body}"),
        &format!("{lines}{}{body}", forwarded("test")),
        "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok",
    );
}

#[test]
fn post_in_chunks() {
    let lines = "POST /p HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n";
    let body = "5;ext\r\nhello\r\n00\r\nX-Sum: 1\r\n\r\n";
    answered(
        &format!("{lines}\r\n{body}"),
        &format!("{lines}{}{body}", forwarded("test")),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
}

#[test]
fn a_get_may_have_a_body() {
    let lines = "GET /p HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n";
    answered(
        &format!("{lines}\r\nhi"),
        &format!("{lines}{}hi", forwarded("test")),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
}

#[test]
fn an_unknown_method_passes() {
    answered(
        "BREW /pot HTTP/1.1\r\nHost: test\r\n\r\n",
        &format!("BREW /pot HTTP/1.1\r\nHost: test\r\n{}", forwarded("test")),
        "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n",
    );
}

#[test]
fn fields_of_one_hop_stay_on_it() {
    exchange(
        "GET / HTTP/1.1\r\nHost: test\r\nConnection: x-a\r\nX-A: 1\r\nX-B: 2\r\nUpgrade: h2c\r\nTE: trailers\r\n\r\n",
        // Trailers are passed on, so the upstream may know that they are read.
        &format!(
            "GET / HTTP/1.1\r\nHost: test\r\nX-B: 2\r\nTE: trailers\r\nConnection: TE\r\n{}",
            forwarded("test")
        ),
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, x-c\r\nKeep-Alive: timeout=5\r\nX-C: 1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
}

#[test]
fn every_byte_by_itself() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    let lines = "POST /p HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n";
    let body = "5\r\nhello\r\n0\r\nA: b\r\n\r\n";
    for byte in format!("\r\n{lines}\r\n{body}").bytes() {
        client.send([byte]);
    }
    let mut server = upstream.accept();
    expect(&mut server, format!("{lines}{}{body}", forwarded("test")));
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                  3\r\nabc\r\n0\r\nC: d\r\n\r\n";
    for byte in answer.bytes() {
        server.send([byte]);
    }
    expect(&mut client, answer);
    client.expect_silence();
}

#[test]
fn an_answer_that_ends_with_its_connection() {
    for head in [
        "HTTP/1.1 200 OK\r\nA: b\r\n",
        "HTTP/1.0 200 OK\r\nA: b\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n",
    ] {
        let upstream = Listening::start();
        let balancer = Balancer::over(&[upstream.address()]);
        let mut client = balancer.connect();
        client.send(get("/"));
        let mut server = upstream.accept();
        expect(&mut server, forwarded_get("/"));
        server.send(format!("{head}\r\nhel"));
        expect(&mut client, "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nhel");
        server.send("lo");
        drop(server);
        let (rest, reset) = client.read_to_reset();
        assert_eq!((rest.as_slice(), reset), (&b"lo"[..], false));
    }
}
