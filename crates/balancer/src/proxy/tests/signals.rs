//! What is told of endpoints, and what is not.

use std::time::Duration;

use berth_pick::Signal;
use berth_testkit::{Listening, Refusing, SteadyUpstream, eventually};

use super::{GET, POST, Setup, endpoints};

#[test]
fn a_refused_connection() {
    let (refusing, steady) = (Refusing::start(), SteadyUpstream::saying("x"));
    let all = endpoints(&[refusing.address, steady.address()]);
    let mut rig = Setup::of(&all).start();
    for _ in 0..2 {
        assert_eq!(rig.http().get("/").status, 200);
    }
    rig.expect_signal(&all[0], Signal::Refused);
    assert_eq!(all[1].signals().failures(), 0);
}

#[test]
fn a_connection_that_ends_without_an_answer() {
    // Also where the request may not be sent again.
    for request in [GET, POST] {
        let peer = Listening::start();
        let all = endpoints(&[peer.address()]);
        let mut rig = Setup::of(&all).start();
        let mut client = rig.connect();
        client.send(request);
        let mut wire = peer.accept();
        wire.read_head();
        drop(wire);
        rig.expect_signal(&all[0], Signal::Reset);
    }
}

#[test]
fn an_answer_that_breaks_off() {
    for beginning in ["HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"] {
        let peer = Listening::start();
        let all = endpoints(&[peer.address()]);
        let mut rig = Setup::of(&all).start();
        let mut client = rig.connect();
        client.send(GET);
        let mut wire = peer.accept();
        wire.read_head();
        wire.send(beginning);
        drop(wire);
        rig.expect_signal(&all[0], Signal::Reset);
    }
}

#[test]
fn errors() {
    for answer in [
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "what?\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ] {
        let peer = Listening::start();
        let all = endpoints(&[peer.address()]);
        let mut rig = Setup::of(&all).start();
        let mut client = rig.connect();
        client.send(GET);
        let mut wire = peer.accept();
        wire.read_head();
        wire.send(answer);
        rig.expect_signal(&all[0], Signal::Error);
    }
}

#[test]
fn an_answer_that_does_not_come_in_time() {
    let peer = Listening::start();
    let all = endpoints(&[peer.address()]);
    let mut rig = Setup { answer: Duration::from_millis(100), ..Setup::of(&all) }.start();
    let mut client = rig.connect();
    client.send(GET);
    let mut wire = peer.accept();
    wire.read_head();
    rig.expect_signal(&all[0], Signal::Silent);
}

#[test]
fn an_idle_connection_that_closed_as_it_was_needed_is_nobodys_fault() {
    let peer = Listening::start();
    let all = endpoints(&[peer.address()]);
    let mut rig = Setup::of(&all).start();
    let mut client = rig.http();
    client.wire.send(GET);
    let mut wire = peer.accept();
    wire.read_head();
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.read_answer().status, 200);
    client.wire.send(GET);
    wire.read_head();
    drop(wire);
    let mut wire = peer.accept();
    wire.read_head();
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.read_answer().status, 200);
    rig.expect_no_signal();
}

#[test]
fn a_client_that_leaves_says_nothing_of_the_endpoint() {
    let peer = Listening::start();
    let all = endpoints(&[peer.address()]);
    let mut rig = Setup::of(&all).start();
    let mut client = rig.connect();
    client.send(GET);
    let mut wire = peer.accept();
    wire.read_head();
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    client.read_until(b"hello");
    client.reset();
    while wire.try_send("x") {}
    eventually("the end of the exchange", || (all[0].in_flight() == 0).then_some(()));
    rig.expect_no_signal();
}

#[test]
fn whatever_an_endpoint_sends_is_heard() {
    let peer = Listening::start();
    let all = endpoints(&[peer.address()]);
    let rig = Setup::of(&all).start();
    let heard_ms = || all[0].signals().heard_ms();
    rig.until("some time", || (rig.published.now_ms() > 5).then_some(()));
    let mut client = rig.connect();
    client.send(GET);
    let mut wire = peer.accept();
    wire.read_head();
    // Counted at a tick, at which the worker looks at the clock.
    let counted =
        || rig.published.current().requests_of_backends().map(|(_, requests)| requests).sum::<u64>();
    rig.until("a tick", || (counted() == 1).then_some(()));
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    client.read_head();
    let head_ms = heard_ms();
    assert!(head_ms > 5);
    rig.until("a piece of the body to be heard", || {
        wire.send("x");
        client.read_exact(1);
        (heard_ms() > head_ms).then_some(())
    });
}

#[test]
fn a_kept_connection_that_ends_is_nobodys_fault_where_others_are() {
    let peers = [Listening::start(), Listening::start()];
    let all = endpoints(&[peers[0].address(), peers[1].address()]);
    let mut rig = Setup::of(&all).start();
    let mut client = rig.http();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let mut wires = Vec::new();
    for _ in 0..2 {
        client.wire.send(GET);
        let mut wire = eventually("a request", || peers.iter().find_map(Listening::try_accept));
        wire.read_head();
        wire.send(answer);
        assert_eq!(client.read_answer().status, 200);
        wires.push(wire);
    }
    client.wire.send(GET);
    wires[0].read_head();
    drop(wires.remove(0));
    wires[0].read_head();
    wires[0].send(answer);
    assert_eq!(client.read_answer().status, 200);
    rig.expect_no_signal();
}
