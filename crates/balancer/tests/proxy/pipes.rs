//! Which bodies go through the kernel: seen from the pipes that a process has open.

use berth_testkit::{Listening, Process, Wire, eventually};

use crate::harness::{expect, get};

/// Bodies at once, and the pipes that a worker opens for them at most.
const BODIES: usize = 300;
const MOST_PIPES: usize = 256;

fn balancer(upstream: &Listening) -> Process {
    let upstream = upstream.address().to_string();
    let ports = ["--listen", "127.0.0.1:0", "--admin", "none", "--threads", "1"];
    Process::start("balancer", &[&ports[..], &["--upstream", &upstream]].concat())
}

/// An answer of this length of which a byte has come.
fn begun(balancer: &Process, upstream: &Listening, length: usize) -> (Wire, Wire) {
    let mut client = Wire::connect(balancer.address());
    client.send(get("/"));
    let mut server = upstream.accept();
    server.read_head();
    let beginning = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nx");
    server.send(&beginning);
    expect(&mut client, beginning);
    (client, server)
}

fn finish((mut client, mut server): (Wire, Wire), length: usize) {
    let rest = vec![b'y'; length - 1];
    server.send(&rest);
    expect(&mut client, &rest);
}

#[test]
fn a_long_body_has_a_pipe_and_a_short_one_has_none() {
    let upstream = Listening::start();
    let balancer = balancer(&upstream);
    balancer.address();
    let before = balancer.pipe_ends();
    let short = begun(&balancer, &upstream, 64 * 1024);
    // With the byte that came there are fewer than 64 KiB to go.
    assert_eq!(balancer.pipe_ends(), before);
    let long = begun(&balancer, &upstream, 64 * 1024 + 1);
    eventually("a pipe", || (balancer.pipe_ends() == before + 2).then_some(()));
    finish(short, 64 * 1024);
    finish(long, 64 * 1024 + 1);
    // It is kept for the next one.
    let next = begun(&balancer, &upstream, 100_000);
    finish(next, 100_000);
    assert_eq!(balancer.pipe_ends(), before + 2);
}

#[test]
fn pipes_are_limited_and_bodies_are_not() {
    let upstream = Listening::start();
    let balancer = balancer(&upstream);
    balancer.address();
    let before = balancer.pipe_ends();
    let length = 100_000;
    let all: Vec<_> = (0..BODIES).map(|_| begun(&balancer, &upstream, length)).collect();
    eventually("pipes", || (balancer.pipe_ends() >= before + 2 * 16).then_some(()));
    assert!(balancer.pipe_ends() <= before + 2 * MOST_PIPES, "{} ends", balancer.pipe_ends());
    all.into_iter().for_each(|body| finish(body, length));
    // A few are kept.
    eventually("fewer pipes", || (balancer.pipe_ends() <= before + 2 * 16).then_some(()));
}
