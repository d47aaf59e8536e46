//! Those who may serve if nobody else can.

use berth_testkit::{Listening, Refusing, SteadyUpstream, holds_for};

use super::{GET, Setup, endpoints};
use crate::routing::Capacity;

#[test]
fn is_asked_when_the_set_cannot_serve() {
    let (refusing, steady) = (Refusing::start(), SteadyUpstream::saying("x"));
    let all = endpoints(&[refusing.address, steady.address()]);
    let limited = Capacity { most_in_flight: Some(1), ..Capacity::default() };
    for capacity in [Capacity::default(), limited] {
        for set in [&all[..1], &[]] {
            let setup = Setup { reserve: all[1..].to_vec(), capacity, ..Setup::of(set) };
            let rig = setup.start();
            assert_eq!(rig.http().get("/").status, 200);
            assert_eq!(rig.http().send("POST", "/", "", b"hi").status, 200);
        }
    }
}

#[test]
fn is_left_alone_while_the_set_can() {
    let (steady, other) = (SteadyUpstream::saying("x"), Listening::start());
    let all = endpoints(&[steady.address(), other.address()]);
    let rig = Setup { reserve: all[1..].to_vec(), ..Setup::of(&all[..1]) }.start();
    for _ in 0..10 {
        assert_eq!(rig.http().get("/").status, 200);
    }
    assert!(other.try_accept().is_none());
}

#[test]
fn is_asked_each_once() {
    let kept: Vec<_> = (0..4).map(|_| Refusing::start()).collect();
    let addresses: Vec<_> = kept.iter().map(|refusing| refusing.address).collect();
    let all = endpoints(&addresses);
    let rig = Setup { reserve: all[1..].to_vec(), ..Setup::of(&all[..1]) }.start();
    assert_eq!(rig.http().get("/").status, 503);
    for endpoint in &all {
        assert_eq!((endpoint.requests(), endpoint.signals().failures()), (1, 1));
    }
}

#[test]
fn takes_what_was_reset() {
    let (peer, steady) = (Listening::start(), SteadyUpstream::saying("x"));
    let all = endpoints(&[peer.address(), steady.address()]);
    let rig = Setup { reserve: all[1..].to_vec(), ..Setup::of(&all[..1]) }.start();
    let mut client = rig.http();
    client.wire.send(GET);
    peer.accept().read_head();
    assert_eq!(client.read_answer().status, 200);
    assert!(peer.try_accept().is_none());
}

#[test]
fn who_is_given_up_there_is_nobody_to_go_to() {
    let peers = [Listening::start(), Listening::start()];
    let all = endpoints(&[peers[0].address(), peers[1].address()]);
    let rig = Setup { reserve: all[1..].to_vec(), ..Setup::of(&all[..1]) }.start();
    let mut client = rig.http();
    client.wire.send(GET);
    let mut wire = peers[0].accept();
    wire.read_head();
    all.iter().for_each(|endpoint| rig.give_up(endpoint));
    holds_for(20, "nobody else is asked", || {
        rig.ticks.notify_one();
        peers.iter().all(|peer| peer.try_accept().is_none())
    });
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.read_answer().status, 200);
}

#[test]
fn a_request_asks_a_part_of_many() {
    let kept: Vec<_> = (0..40).map(|_| Refusing::start()).collect();
    let addresses: Vec<_> = kept.iter().map(|refusing| refusing.address).collect();
    let all = endpoints(&addresses);
    let rig = Setup { reserve: all.clone(), ..Setup::of(&[]) }.start();
    for asked in [32, 64] {
        assert_eq!(rig.http().get("/").status, 503);
        assert_eq!(all.iter().map(|endpoint| endpoint.requests()).sum::<u64>(), asked);
    }
    assert!(all.iter().filter(|endpoint| endpoint.requests() > 0).count() > 32, "they begin anywhere");
}
