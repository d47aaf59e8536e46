//! Ports that are taken, and ports that are shared by the workers alone.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use berth_balancer::config::Admin;
use berth_balancer::{StartError, bind};
use berth_testkit::{Listening, Wire};

use crate::harness::{Balancer, expect, forwarded_get, get, ok, settings};

fn taken() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn by_a_plain_listener() {
    let (_listener, address) = taken();
    for threads in [1, 2] {
        let mut settings = settings(&[]);
        (settings.listen, settings.threads) = (address, threads);
        let error = bind(&settings).unwrap_err();
        assert!(matches!(error, StartError::InUse(where_) if where_ == address), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}

#[test]
fn by_a_listener_on_one_address_of_all() {
    let (_listener, address) = taken();
    let mut settings = settings(&[]);
    settings.listen = SocketAddr::new("::".parse().unwrap(), address.port());
    settings.listen_anyhow = true;
    assert!(matches!(bind(&settings), Err(StartError::InUse(_))));
}

#[test]
fn by_another_balancer() {
    for threads in [1, 2] {
        let mut settings = settings(&[]);
        settings.threads = threads;
        let first = bind(&settings).unwrap();
        settings.listen = first.address;
        assert!(matches!(bind(&settings), Err(StartError::InUse(where_)) if where_ == first.address));
    }
}

#[test]
fn an_address_that_is_not_ours() {
    let mut settings = settings(&[]);
    settings.listen = "192.0.2.1:0".parse().unwrap();
    assert!(matches!(bind(&settings), Err(StartError::Listen(..))));
}

#[test]
fn the_admin_port_only_if_it_was_asked_for() {
    let (_listener, address) = taken();
    let mut settings = settings(&[]);
    settings.admin = Admin::Required(address);
    assert!(matches!(bind(&settings), Err(StartError::AdminInUse(where_)) if where_ == address));
    settings.admin = Admin::Preferred(address);
    assert_eq!(bind(&settings).unwrap().admin_address(), None);
    settings.admin = Admin::None;
    assert_eq!(bind(&settings).unwrap().admin_address(), None);
}

#[test]
fn one_port_serves_both_families() {
    let upstream = Listening::start();
    let mut settings = settings(&[upstream.address()]);
    settings.listen = "[::]:0".parse().unwrap();
    settings.listen_anyhow = true;
    let balancer = Balancer::start(settings);
    let port = balancer.address.port();
    let mut server = None;
    for (address, peer) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1")] {
        // A machine without IPv6 listens on IPv4 alone.
        if address == "::1" && balancer.address.is_ipv4() {
            continue;
        }
        let mut client = Wire::connect(SocketAddr::new(address.parse().unwrap(), port));
        client.send(get("/"));
        let server = server.get_or_insert_with(|| upstream.accept());
        expect(server, forwarded_get("/").replace("127.0.0.1", peer));
        server.send(ok("x"));
        expect(&mut client, ok("x"));
    }
}
