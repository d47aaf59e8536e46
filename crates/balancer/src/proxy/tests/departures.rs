//! Idle connections of endpoints that leave.

use berth_testkit::{Listening, Wire};

use super::{GET, Rig, Setup, endpoints};

/// A request at each of these. Returns the connections that are idle now.
fn serve(rig: &Rig, peers: &[Listening]) -> Vec<Wire> {
    let mut serve_one = |peer: &Listening| {
        let mut client = rig.connect();
        client.send(GET);
        let mut wire = peer.accept();
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
        client.read_until(b"x");
        wire
    };
    peers.iter().map(&mut serve_one).collect()
}

#[test]
fn they_end_and_those_of_others_serve_on() {
    let peers = [Listening::start(), Listening::start()];
    let all = endpoints(&[peers[0].address(), peers[1].address()]);
    let rig = Setup::of(&all).start();
    let mut idle = serve(&rig, &peers);
    rig.publish(&all[1..]);
    rig.ticks.notify_one();
    idle[0].expect_end();
    let mut client = rig.connect();
    client.send(GET);
    idle[1].read_head();
}

/// A request of it is under way when it leaves.
#[test]
fn none_is_kept_afterwards() {
    let peers = [Listening::start(), Listening::start()];
    let all = endpoints(&[peers[0].address(), peers[1].address()]);
    let rig = Setup::of(&all[..1]).start();
    let mut client = rig.connect();
    client.send(GET);
    let mut wire = peers[0].accept();
    wire.read_head();
    all[0].signals().leave(true);
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    client.read_until(b"x");
    wire.expect_end();
}
