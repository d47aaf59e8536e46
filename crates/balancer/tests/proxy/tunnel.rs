//! Tunnels: ends, resets, limits, and sides that do not read.

use std::thread;

use berth_balancer::{AccessTarget, StartError};
use berth_testkit::{Listening, Wire, eventually};

use crate::bodies::{HUGE, MOST_BUFFERED, noise, read_zeros};
use crate::harness::{Balancer, SOON, expect, ok, settings};
use crate::upgrade::{ASK, SWITCH, tunnel};

#[test]
fn the_end_of_one_side_is_the_end_of_its_half() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    for client_first in [true, false] {
        let (mut client, mut server) = tunnel(&upstream, &balancer);
        let (first, second) =
            if client_first { (&mut client, &mut server) } else { (&mut server, &mut client) };
        first.send("last word");
        first.finish();
        let (seen, reset) = second.read_to_reset();
        assert_eq!((seen.as_slice(), reset), (&b"last word"[..], false));
        // The other one may still have much to say.
        let body = noise(1024 * 1024);
        thread::scope(|scope| {
            scope.spawn(|| second.send(&body));
            expect(first, &body);
        });
        second.finish();
        assert_eq!(first.read_to_reset(), (Vec::new(), false));
        balancer.wait_for_metric("tunnels_open", 0.0);
    }
}

#[test]
fn an_end_that_comes_early() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    // The client has said all of it before the 101 came.
    let mut client = balancer.connect();
    client.send(format!("{ASK}all"));
    client.finish();
    let mut server = upstream.accept();
    server.read_head();
    server.send(SWITCH);
    assert_eq!(server.read_to_end(), b"all");
    server.send("reply");
    drop(server);
    expect(&mut client, format!("{SWITCH}reply"));
    client.expect_end();
}

#[test]
fn a_reset_on_one_side_is_a_reset_on_the_other() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    for client_first in [true, false] {
        let (client, server) = tunnel(&upstream, &balancer);
        let (first, mut second) = if client_first { (client, server) } else { (server, client) };
        first.reset();
        assert_eq!(second.read_to_reset(), (Vec::new(), true), "the client first: {client_first}");
        balancer.wait_for_metric("tunnels_open", 0.0);
        balancer.wait_for_metric("endpoint_in_flight", 0.0);
    }
}

#[test]
fn a_tunnel_in_which_nobody_speaks() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.tunnel = SOON);
    // At once, and after some words.
    for words in ["", "hello"] {
        let (mut client, mut server) = tunnel(&upstream, &balancer);
        client.send(words);
        expect(&mut server, words);
        client.expect_end();
        server.expect_end();
        balancer.wait_for_metric("tunnels_open", 0.0);
    }
}

#[test]
fn words_of_either_side_keep_a_tunnel_open() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.tunnel = SOON);
    let speaks = |client_speaks: bool| {
        let (mut client, mut server) = tunnel(&upstream, &balancer);
        let (from, to) = if client_speaks { (&mut client, &mut server) } else { (&mut server, &mut client) };
        let mut left = 250;
        // Longer than the limit in all, never as long at once.
        eventually("the last word", || {
            from.send("x");
            expect(to, "x");
            left -= 1;
            (left == 0).then_some(())
        });
    };
    speaks(true);
    speaks(false);
}

#[test]
fn no_limit_of_requests_ends_a_tunnel() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| {
        (timeouts.head, timeouts.answer, timeouts.body) = (SOON, SOON, SOON);
        (timeouts.send, timeouts.connect) = (SOON, SOON);
        (timeouts.idle, timeouts.upstream_idle) = (SOON, SOON);
    });
    let (mut silent, mut silent_server) = tunnel(&upstream, &balancer);
    let (mut spoke, mut spoke_server) = tunnel(&upstream, &balancer);
    spoke.send("hello");
    expect(&mut spoke_server, "hello");
    // Twice as long as any of them.
    for _ in 0..2 {
        balancer.connect().expect_end();
    }
    for (client, server) in [(&mut silent, &mut silent_server), (&mut spoke, &mut spoke_server)] {
        client.send("still");
        expect(server, "still");
        server.send("there");
        expect(client, "there");
    }
}

#[test]
fn half_a_tunnel_is_not_waited_for_as_long() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.body = SOON);
    let (mut client, mut server) = tunnel(&upstream, &balancer);
    client.finish();
    server.expect_end();
    client.expect_end();
    balancer.wait_for_metric("tunnels_open", 0.0);
}

/// One side sends without end, the other does not read; then it does.
fn held_up(from: &mut Wire, to: &mut Wire) {
    let taken = from.fill(HUGE);
    assert!(taken < MOST_BUFFERED, "{taken} bytes were taken of one side, none by the other");
    // The other direction is not held up.
    to.send("go on");
    expect(from, "go on");
    thread::scope(|scope| {
        scope.spawn(|| from.send(vec![0; HUGE - taken]));
        read_zeros(to, HUGE);
    });
}

#[test]
fn who_does_not_read_holds_up_who_writes() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = tunnel(&upstream, &balancer);
    held_up(&mut client, &mut server);
    held_up(&mut server, &mut client);
    // Both at once.
    let up = client.fill(HUGE);
    let down = server.fill(HUGE);
    assert!(up < MOST_BUFFERED && down < MOST_BUFFERED, "{up} and {down} bytes");
    read_zeros(&mut client, down);
    read_zeros(&mut server, up);
    client.send("end");
    expect(&mut server, "end");
}

#[test]
fn much_goes_both_ways_at_once() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = tunnel(&upstream, &balancer);
    let up = noise(5 * 1024 * 1024);
    let down: Vec<u8> = up.iter().rev().copied().collect();
    let turn = |wire: &mut Wire, says: &[u8], hears: &[u8]| {
        let mut left = says;
        for piece in hears.chunks(16 * 1024) {
            let (now, rest) = left.split_at(left.len().min(16 * 1024));
            wire.send(now);
            expect(wire, piece);
            left = rest;
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| turn(&mut client, &up, &down));
        scope.spawn(|| turn(&mut server, &down, &up));
    });
}

#[test]
fn a_graceful_end_leaves_tunnels_alone_until_it_is_forced() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = tunnel(&upstream, &balancer);
    balancer.begin_end();
    client.send("still");
    expect(&mut server, "still");
    server.send("there");
    expect(&mut client, "there");
    balancer.shutdown.forced.cancel();
    assert!(matches!(balancer.wait(), Err(StartError::Forced)));
    client.expect_end();
    server.expect_end();
}

#[test]
fn a_graceful_end_ends_with_the_last_tunnel() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, server) = tunnel(&upstream, &balancer);
    balancer.begin_end();
    drop(server);
    client.expect_end();
    drop(client);
    balancer.wait().unwrap();
}

#[test]
fn a_line_in_the_access_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let upstream = Listening::start();
    let mut settings = settings(&[upstream.address()]);
    settings.access_log = AccessTarget::File(path.clone());
    let balancer = Balancer::start(settings);
    let (mut client, mut server) = tunnel(&upstream, &balancer);
    server.send(ok("twelve"));
    expect(&mut client, ok("twelve"));
    drop((client, server));
    balancer.wait_for_metric("tunnels_open", 0.0);
    balancer.end();
    let line = std::fs::read_to_string(&path).unwrap();
    let (request, bytes) = ("\"GET /chat HTTP/1.1\" 101", ok("twelve").len());
    assert!(line.contains(&format!("{request} {bytes} ")), "{line}");
    assert!(line.contains(&upstream.address().to_string()) && line.lines().count() == 1, "{line}");
}
