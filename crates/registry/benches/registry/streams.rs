//! Streams that stay open: links and watches.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::peer::{Peer, binary};
use crate::wire::{Wire, put, request};
use crate::{block_on, tell, tell_times};

const LINKS: usize = 10_000;
const WATCHERS: usize = 1_000;
const CHANGES: usize = 100;
const CRASHES: usize = 50;
const CRASH_WATCHERS: usize = 200;

/// What a link costs the registry, its connection included.
pub(crate) fn links() {
    let (registry, address) = Peer::registry();
    let bytes = block_on(async {
        let mut owner = Wire::connect(address).await;
        for number in 0..LINKS {
            assert_eq!(owner.call(&put("web", &format!("i{number}"), 80)).await.0, 201);
        }
        let before = registry.resident_bytes();
        let mut links = Vec::with_capacity(LINKS);
        for number in 0..LINKS {
            let body = format!(r#"{{"instances":[{{"service":"web","id":"i{number}","run":"7"}}]}}"#);
            let mut link = Wire::connect(address).await;
            link.send(&request("POST", "/v1/link", &body)).await;
            link.read_until(b"event: tick").await;
            links.push(link);
        }
        // Once more, when nothing is new to any of them.
        for link in &mut links {
            link.read_until(b"event: tick").await;
        }
        registry.resident_bytes() - before
    });
    tell("bytes of the registry for each of 10,000 links", bytes / LINKS as u64);
}

/// From sending a change until each of 1,000 watchers has read it.
pub(crate) fn watchers() {
    let (_registry, address) = Peer::registry();
    let times = block_on(async {
        let mut owner = Wire::connect(address).await;
        assert_eq!(owner.call(&put("web", "a", 80)).await.0, 201);
        let (mut watchers, mut seen) =
            watch(address, WATCHERS, |number| format!("\"weight\":{number},")).await;
        let mut times = Vec::new();
        for number in 2..CHANGES + 2 {
            let body = format!(r#"{{"weight":{number}}}"#);
            let sent = Instant::now();
            assert_eq!(owner.call(&request("PATCH", "/v1/services/web/instances/a", &body)).await.0, 200);
            for _ in 0..WATCHERS {
                times.push(seen.recv().await.unwrap() - sent);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        watchers.abort_all();
        times
    });
    tell_times("from sending a change until 1,000 watchers have read it", times);
}

/// From `kill -9` until each of 200 watchers knows of it.
pub(crate) fn crashes() {
    let (_registry, address) = Peer::registry();
    let times = block_on(async {
        let (mut watchers, mut seen) =
            watch(address, CRASH_WATCHERS, |_| "\"reason\":\"crashed\"".to_owned()).await;
        let mut times = Vec::new();
        for _ in 0..CRASHES {
            let mut command = Command::new(binary("server"));
            command.args(["--registry", &address.to_string(), "--ttl", "3600"]);
            let (mut server, _) = Peer::listening(&mut command);
            linked(address).await;
            let killed = Instant::now();
            server.kill();
            for _ in 0..CRASH_WATCHERS {
                times.push(seen.recv().await.unwrap() - killed);
            }
        }
        watchers.abort_all();
        times
    });
    tell_times("from kill -9 until 200 watchers know that it crashed", times);
}

/// Waits until the one instance's link is open, as the registry counts it.
async fn linked(address: SocketAddr) {
    let mut wire = Wire::connect(address).await;
    loop {
        let (_, metrics) = wire.call(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        if String::from_utf8(metrics).unwrap().contains("registry_links 1\n") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Watchers that tell when they have read the text of each number, from 2 on.
async fn watch(
    address: SocketAddr,
    count: usize,
    text: fn(usize) -> String,
) -> (JoinSet<()>, mpsc::UnboundedReceiver<Instant>) {
    let (tell, told) = mpsc::unbounded_channel();
    let mut watchers = JoinSet::new();
    for _ in 0..count {
        let mut wire = Wire::connect(address).await;
        wire.send(b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        wire.read_until(b"event: snapshot").await;
        let tell = tell.clone();
        watchers.spawn(async move {
            for number in 2.. {
                wire.read_until(text(number).as_bytes()).await;
                tell.send(Instant::now()).unwrap();
            }
        });
    }
    (watchers, told)
}
