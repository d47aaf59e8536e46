//! Calls over HTTP.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::peer::{Peer, binary};
use crate::wire::{Wire, put, request};
use crate::{block_on, tell, tell_times};

const CONNECTIONS: usize = 32;
const TIME: Duration = Duration::from_secs(5);
const ROUNDS: usize = 500;

/// Renewals on connections that are kept alive, one at a time on each.
pub(crate) fn renewals() {
    let (registry, address) = Peer::registry_on_one_core();
    let count = block_on(async {
        let mut clients = JoinSet::new();
        for number in 0..CONNECTIONS {
            clients.spawn(renew(address, number));
        }
        clients.join_all().await.into_iter().sum::<u64>()
    });
    let (rate, cpu_us) = (count as f64 / TIME.as_secs_f64(), registry.cpu_seconds() * 1e6 / count as f64);
    tell(
        "renewals per second over HTTP keep-alive, registry on one core",
        format_args!("{rate:.0} ({cpu_us:.1} µs of CPU time each)"),
    );
}

async fn renew(address: SocketAddr, number: usize) -> u64 {
    let mut wire = Wire::connect(address).await;
    let id = format!("i{number}");
    assert_eq!(wire.call(&put("web", &id, 80)).await.0, 201);
    let renewal =
        format!("PUT /v1/services/web/instances/{id}/lease?run=7 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < TIME {
        assert_eq!(wire.call(renewal.as_bytes()).await.0, 200);
        count += 1;
    }
    count
}

/// From the answer to a registration, dial included, until a request to the balancer is answered by the instance.
pub(crate) fn routable() {
    let (_registry, address) = Peer::registry();
    let mut command = Command::new(binary("balancer"));
    command.args(["--registry", &address.to_string(), "--listen", "127.0.0.1:0", "--admin", "none"]);
    let (_balancer, balancer) = Peer::listening(&mut command);
    let upstream = answering();
    let times = block_on(async {
        let (mut owner, mut client) = (Wire::connect(address).await, Wire::connect(balancer).await);
        let get = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let path = "/v1/services/web/instances/a";
            let body = format!(r#"{{"port":{},"run":"{}"}}"#, upstream.port(), round + 1);
            assert_eq!(owner.call(&request("PUT", path, &body)).await.0, 201);
            let registered = Instant::now();
            while client.call(get).await.0 != 200 {}
            times.push(registered.elapsed());
            assert_eq!(owner.call(&request("DELETE", path, "")).await.0, 200);
            while client.call(get).await.0 == 200 {}
        }
        times
    });
    tell_times("from a registration's answer to the first routed request", times);
}

/// A server that answers everything, on a thread for each connection.
fn answering() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                use std::io::{Read, Write};
                let mut stream = stream.unwrap();
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
