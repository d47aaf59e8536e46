//! The same measurements for etcd, over its JSON gateway, and for seaport, over its lines of JSON.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::peer::{Peer, is_installed};
use crate::wire::{Wire, request};
use crate::{block_on, tell, tell_times};

const INSTANCES: usize = 10_000;
const CONNECTIONS: usize = 32;
const TIME: Duration = Duration::from_secs(5);
const WATCHERS: usize = 1_000;
const CHANGES: usize = 100;

/// What an instance is to a store of keys: about what our registration holds.
const VALUE: &str = r#"{"host":"10.0.0.1","port":3000,"version":"1.2.3","meta":{"zone":"x"}}"#;

pub(crate) fn etcd() {
    if !is_installed("etcd") {
        return tell("etcd", "not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let (client, peer) = (free_address(), free_address());
    let mut command = Command::new("etcd");
    command
        .args(["--data-dir", folder.path().to_str().unwrap(), "--log-level", "error"])
        .args(["--listen-client-urls", &format!("http://{client}")])
        .args(["--advertise-client-urls", &format!("http://{client}")])
        .args(["--listen-peer-urls", &format!("http://{peer}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let etcd = Peer::start(&mut command);
    block_on(async {
        until_listening(client).await;
        let mut wire = Wire::connect(client).await;
        let before = etcd.resident_bytes();
        let lease = lease(&mut wire).await;
        let mut puts = JoinSet::new();
        for part in 0..CONNECTIONS {
            let lease = lease.clone();
            puts.spawn(async move {
                let mut wire = Wire::connect(client).await;
                for number in (part..INSTANCES).step_by(CONNECTIONS) {
                    etcd_put(&mut wire, &format!("service-{}/instance-{number:016}", number % 100), &lease)
                        .await;
                }
            });
        }
        puts.join_all().await;
        let bytes = etcd.resident_bytes().saturating_sub(before);
        tell("etcd: bytes for each of 10,000 keys", bytes / INSTANCES as u64);
        etcd_renewals(client, &etcd).await;
        etcd_watchers(client).await;
    });
}

async fn etcd_renewals(client: SocketAddr, etcd: &Peer) {
    let cpu_before = etcd.cpu_seconds();
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(async move {
            let mut wire = Wire::connect(client).await;
            let id = lease(&mut wire).await;
            let renewal = request("POST", "/v3/lease/keepalive", &format!(r#"{{"ID":"{id}"}}"#));
            let (start, mut count) = (Instant::now(), 0_u64);
            while start.elapsed() < TIME {
                assert_eq!(wire.call(&renewal).await.0, 200);
                count += 1;
            }
            count
        });
    }
    let count: u64 = clients.join_all().await.into_iter().sum();
    let cpu_us = (etcd.cpu_seconds() - cpu_before) * 1e6 / count as f64;
    let rate = count as f64 / TIME.as_secs_f64();
    tell(
        "etcd: renewals per second over HTTP keep-alive, all cores",
        format_args!("{rate:.0} ({cpu_us:.1} µs of CPU time each)"),
    );
}

async fn etcd_watchers(client: SocketAddr) {
    let create = r#"{"create_request":{"key":"d2F0Y2hlZA=="}}"#;
    let (tell_seen, mut seen) = mpsc::unbounded_channel();
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS {
        let mut wire = Wire::connect(client).await;
        wire.send(&request("POST", "/v3/watch", create)).await;
        wire.read_until(b"\"created\":true").await;
        let tell_seen = tell_seen.clone();
        watchers.spawn(async move {
            loop {
                wire.read_until(b"\"mod_revision\"").await;
                tell_seen.send(Instant::now()).unwrap();
            }
        });
    }
    let mut wire = Wire::connect(client).await;
    let mut times = Vec::new();
    for _ in 0..CHANGES {
        let sent = Instant::now();
        let put = r#"{"key":"d2F0Y2hlZA==","value":"eA=="}"#;
        assert_eq!(wire.call(&request("POST", "/v3/kv/put", put)).await.0, 200);
        for _ in 0..WATCHERS {
            times.push(seen.recv().await.unwrap() - sent);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    watchers.abort_all();
    tell_times("etcd: from sending a change until 1,000 watchers have read it", times);
}

async fn lease(wire: &mut Wire) -> String {
    let (status, body) = wire.call(&request("POST", "/v3/lease/grant", r#"{"TTL":3600}"#)).await;
    assert_eq!(status, 200);
    let text = String::from_utf8(body).unwrap();
    text.split("\"ID\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

async fn etcd_put(wire: &mut Wire, key: &str, lease: &str) {
    let (key, value) = (base64(key), base64(VALUE));
    let body = format!(r#"{{"key":"{key}","value":"{value}","lease":"{lease}"}}"#);
    assert_eq!(wire.call(&request("POST", "/v3/kv/put", &body)).await.0, 200);
}

/// seaport has no call to renew: a registration lives with its connection.
pub(crate) fn seaport() {
    let script = "require('seaport').createServer().listen(Number(process.argv[1]), '127.0.0.1')";
    let found = Command::new("node").args(["-e", "require('seaport')"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return tell("seaport", "not installed");
    }
    let address = free_address();
    let start = || {
        Peer::start(
            Command::new("node").args(["-e", script, &address.port().to_string()]).stdout(Stdio::null()),
        )
    };
    let hub = start();
    block_on(async {
        until_listening(address).await;
        let before = hub.resident_bytes();
        let mut owner = Wire::connect(address).await;
        for number in 0..INSTANCES {
            owner.send(seaport_register(&format!("instance-{number:016}"), number).as_bytes()).await;
        }
        let mut reader = Wire::connect(address).await;
        reader.read_until(format!("instance-{:016}", INSTANCES - 1).as_bytes()).await;
        let bytes = hub.resident_bytes().saturating_sub(before);
        tell("seaport: bytes for each of 10,000 instances", bytes / INSTANCES as u64);
    });
    drop(hub);
    let hub = start();
    block_on(async {
        until_listening(address).await;
        let before = hub.resident_bytes();
        let (tell_seen, mut seen) = mpsc::unbounded_channel();
        let mut watchers = JoinSet::new();
        for _ in 0..WATCHERS {
            let mut wire = Wire::connect(address).await;
            wire.read_until(b"\n").await;
            let tell_seen = tell_seen.clone();
            watchers.spawn(async move {
                for number in 0.. {
                    wire.read_until(format!("change-{number}\"").as_bytes()).await;
                    tell_seen.send(Instant::now()).unwrap();
                }
            });
        }
        let bytes = hub.resident_bytes().saturating_sub(before);
        tell("seaport: bytes for each of 1,000 connections", bytes / WATCHERS as u64);
        let mut owner = Wire::connect(address).await;
        let mut times = Vec::new();
        for number in 0..CHANGES {
            let sent = Instant::now();
            owner.send(seaport_register(&format!("change-{number}"), number).as_bytes()).await;
            for _ in 0..WATCHERS {
                times.push(seen.recv().await.unwrap() - sent);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        watchers.abort_all();
        tell_times("seaport: from sending a change until 1,000 watchers have read it", times);
    });
}

fn seaport_register(id: &str, number: usize) -> String {
    let port = 1 + number % 60_000;
    format!(
        "[\"register\",\"{id}\",{{\"role\":\"web\",\"version\":\"1.2.3\",\"host\":\"10.0.0.1\",\"port\":{port},\"id\":\"{id}\",\"zone\":\"x\"}}]\n"
    )
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

async fn until_listening(address: SocketAddr) {
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// RFC 4648 §4.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| chunk.get(at).copied().unwrap_or(0));
        let word = u32::from_be_bytes([0, a, b, c]);
        for digit in 0..4 {
            let is_there = digit <= chunk.len();
            let place = (word >> (18 - 6 * digit)) as usize & 63;
            out.push(if is_there { DIGITS[place].into() } else { '=' });
        }
    }
    out
}
