//! Requests that wait at an endpoint which says nothing.

use std::io::Write;
use std::sync::Arc;

use berth_pick::Signal;
use berth_testkit::{Full, Listening, Refusing, Wire, holds_for};

use super::{GET, POST, Rig, Setup, endpoints};
use crate::telemetry::Retried;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";

/// A request that waits at one of these.
fn ask(rig: &Rig, request: &str, peers: &[Listening]) -> (Wire, usize, Wire) {
    let mut client = rig.connect();
    client.send(request);
    let (at, mut wire) = rig.until("a connection", || {
        peers.iter().enumerate().find_map(|(at, peer)| peer.try_accept().map(|wire| (at, wire)))
    });
    wire.read_head();
    (client, at, wire)
}

fn expect_answer(mut client: Wire, mut wire: Wire) {
    wire.send(ANSWER);
    assert_eq!(client.read_until(b"x"), ANSWER.as_bytes());
}

/// It may have been well when that was looked into, and hang now.
#[test]
fn is_told_of_again_counted_for_nothing_and_waited_for_all_the_same() {
    let peer = [Listening::start()];
    let all = endpoints(&[peer[0].address()]);
    let mut rig = Setup::of(&all).start();
    let (client, _, wire) = ask(&rig, GET, &peer);
    rig.expect_signal(&all[0], Signal::Silent);
    let told_ms = rig.published.now_ms();
    assert!(told_ms >= 1_000, "after {told_ms} ms");
    rig.expect_signal(&all[0], Signal::Silent);
    let again_ms = rig.published.now_ms();
    assert!(again_ms >= told_ms + 1_000, "after {told_ms} ms and {again_ms} ms");
    assert_eq!(all[0].signals().failures(), 0, "its probe decides");
    expect_answer(client, wire);
}

/// The client is right to wait as well.
#[test]
fn is_told_of_where_an_interim_answer_is_due() {
    let peer = [Listening::start()];
    let all = endpoints(&[peer[0].address()]);
    let mut rig = Setup::of(&all).start();
    let put = "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    let (mut client, _, wire) = ask(&rig, put, &peer);
    rig.expect_signal(&all[0], Signal::Silent);
    client.send("x");
    expect_answer(client, wire);
}

/// Nobody else is there when it is given up. Then somebody comes.
#[test]
fn who_comes_later_is_gone_to() {
    let peers = [Listening::start(), Listening::start()];
    let all = endpoints(&[peers[0].address(), peers[1].address()]);
    let rig = Setup::of(&all[..1]).start();
    let (client, _, wire) = ask(&rig, GET, &peers[..1]);
    rig.give_up(&all[0]);
    let given_up_ms = rig.published.now_ms();
    rig.until("a look", || (rig.published.now_ms() > given_up_ms + 500).then_some(()));
    rig.publish(&all);
    let mut other = rig.until("who came", || peers[1].try_accept());
    other.read_head();
    expect_answer(client, other);
    assert_eq!(rig.retried(Retried::Silence), 1);
    drop(wire);
}

/// The same where it had been refused before by the one who comes back.
#[test]
fn who_comes_back_is_gone_to() {
    let (refusing, peers) = (Refusing::start(), [Listening::start()]);
    let all = endpoints(&[refusing.address, peers[0].address()]);
    let rig = Setup::of(&all).start();
    // In turn, so that one of them was refused at least.
    let mut waiting: Vec<_> = (0..2).map(|_| ask(&rig, GET, &peers)).collect();
    assert!(all[0].signals().failures() > 0);
    rig.give_up(&all[1]);
    let back = refusing.listen();
    back.set_nonblocking(true).unwrap();
    rig.publish(&all);
    for _ in 0..2 {
        let (mut stream, _) = rig.until("who came back", || back.accept().ok());
        stream.write_all(ANSWER.as_bytes()).unwrap();
    }
    for (client, ..) in &mut waiting {
        assert_eq!(client.read_until(b"x"), ANSWER.as_bytes());
    }
}

/// It had begun before the other one came.
#[test]
fn a_reset_goes_to_who_came_meanwhile() {
    let peers = [Listening::start(), Listening::start()];
    let all = endpoints(&[peers[0].address(), peers[1].address()]);
    let rig = Setup::of(&all[..1]).start();
    let (client, _, wire) = ask(&rig, GET, &peers[..1]);
    rig.publish(&all);
    drop(wire);
    let mut other = rig.until("the other", || peers[1].try_accept());
    other.read_head();
    expect_answer(client, other);
}

/// One that is slow with a request, and answers others.
#[test]
fn is_none_while_others_hear_of_it() {
    let peer = [Listening::start()];
    let all = endpoints(&[peer[0].address()]);
    let mut rig = Setup::of(&all).start();
    let (client, _, wire) = ask(&rig, GET, &peer);
    let mut other = rig.connect();
    other.send(GET);
    let mut served = peer[0].accept();
    served.read_head();
    served.send(ANSWER);
    other.read_until(b"x");
    rig.until("a while", || {
        other.send(GET);
        served.read_head();
        served.send(ANSWER);
        other.read_until(b"x");
        (rig.published.now_ms() > 3_000).then_some(())
    });
    rig.expect_no_signal();
    expect_answer(client, wire);
}

#[test]
fn is_none_of_one_who_waits_for_the_client() {
    let peer = [Listening::start()];
    let all = endpoints(&[peer[0].address()]);
    let mut rig = Setup::of(&all).start();
    let half = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nh";
    let (mut client, _, wire) = ask(&rig, half, &peer);
    rig.until("a while", || (rig.published.now_ms() > 3_000).then_some(()));
    rig.expect_no_signal();
    client.send("i");
    // From here on it is.
    rig.expect_signal(&all[0], Signal::Silent);
    expect_answer(client, wire);
}

#[test]
fn what_waits_at_one_that_is_given_up_goes_elsewhere_if_it_may() {
    for request in [GET, POST] {
        let peers = [Listening::start(), Listening::start()];
        let all = endpoints(&[peers[0].address(), peers[1].address()]);
        let rig = Setup::of(&all).start();
        let (client, at, wire) = ask(&rig, request, &peers);
        rig.give_up(&all[at]);
        if request == GET {
            let mut other = rig.until("the other", || peers[1 - at].try_accept());
            other.read_head();
            expect_answer(client, other);
            assert_eq!(rig.retried(Retried::Silence), 1);
        } else {
            holds_for(20, "nobody else is asked", || {
                rig.ticks.notify_one();
                peers[1 - at].try_accept().is_none()
            });
            expect_answer(client, wire);
        }
    }
}

#[test]
fn whose_body_is_gone_waits_on() {
    let peers = [Listening::start(), Listening::start()];
    let all = endpoints(&[peers[0].address(), peers[1].address()]);
    let rig = Setup::of(&all).start();
    let put = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 70000\r\n\r\n{}", "y".repeat(70_000));
    let (client, at, mut wire) = ask(&rig, &put, &peers);
    wire.read_exact(70_000);
    rig.give_up(&all[at]);
    holds_for(20, "nobody else is asked", || {
        rig.ticks.notify_one();
        peers[1 - at].try_accept().is_none()
    });
    expect_answer(client, wire);
}

/// One that is stopped takes no connections, once its queue is full. Nothing of the request was sent: a POST goes elsewhere
/// as well.
#[test]
fn who_waits_for_a_connection_does_as_who_waits_for_an_answer() {
    let (full, peer) = (Full::start(), [Listening::start()]);
    let all = endpoints(&[full.address, peer[0].address()]);
    let rig = Setup::of(&all).start();
    let mut clients = [rig.connect(), rig.connect()];
    // In turn, so that one of them comes to the one that is full.
    clients.iter_mut().for_each(|client| client.send(POST));
    let mut served = peer[0].accept();
    served.read_head();
    rig.until("both to be with somebody", || {
        all.iter().all(|endpoint| endpoint.in_flight() == 1).then_some(())
    });
    // That the other one is silent as well may be told too.
    rig.until("a doubt", || all[0].signals().take().next());
    assert!(peer[0].try_accept().is_none());
    rig.give_up(&all[0]);
    let mut other = rig.until("the other", || peer[0].try_accept());
    other.read_head();
    for wire in [&mut served, &mut other] {
        wire.send(ANSWER);
    }
    for client in &mut clients {
        assert_eq!(client.read_until(b"x"), ANSWER.as_bytes());
    }
    assert_eq!(rig.retried(Retried::Silence), 0, "it costs no retry");
}

/// Nobody else is there, or nobody who is any better: it waits on, and is served.
#[test]
fn nobody_is_sent_away_for_want_of_another() {
    let peers = [Listening::start(), Listening::start()];
    let all = endpoints(&[peers[0].address(), peers[1].address()]);
    for count in [1, 2] {
        let rig = Setup::of(&all[..count]).start();
        let (client, _, wire) = ask(&rig, GET, &peers);
        all.iter().for_each(|endpoint| rig.give_up(endpoint));
        holds_for(20, "nobody else is asked", || {
            rig.ticks.notify_one();
            peers.iter().all(|peer| peer.try_accept().is_none())
        });
        expect_answer(client, wire);
        all.iter().for_each(|endpoint| endpoint.signals().give_up(false));
    }
}

/// One that was given up before is there for want of another: it is waited for, and nobody is told what is known.
#[test]
fn a_last_hope_is_waited_for() {
    let peers = [Listening::start(), Listening::start()];
    let all = endpoints(&[peers[0].address(), peers[1].address()]);
    let reserve = vec![Arc::clone(&all[0])];
    let mut rig = Setup { reserve, ..Setup::of(&[]) }.start();
    rig.give_up(&all[0]);
    let (client, _, wire) = ask(&rig, GET, &peers);
    rig.published.note_given_up();
    rig.until("a while", || (rig.published.now_ms() > 3_000).then_some(()));
    rig.expect_no_signal();
    expect_answer(client, wire);
}
