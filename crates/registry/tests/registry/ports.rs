//! Ports to register: one that refuses, one that accepts, one that never answers.

use std::fs;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::harness::eventually;

/// Something that listens, and its port. What is not accepted stays in its queue, as open connections.
pub(crate) async fn listening() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port at which nobody listens, and nobody else can until this process ends.
pub(crate) fn refusing() -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    std::mem::forget(socket);
    port
}

/// Something that listens at a port at which nobody else can when it is gone.
pub(crate) fn closing() -> (TcpListener, u16) {
    let bind = |port: u16| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
        socket
    };
    let reserved = bind(0);
    let port = reserved.local_addr().unwrap().port();
    std::mem::forget(reserved);
    (bind(port).listen(64).unwrap(), port)
}

/// A port that never answers: it is listened at, but the queue of connections is full.
pub(crate) struct Deaf {
    pub(crate) port: u16,
    own_dials: usize,
    _listener: TcpListener,
    _queued: JoinSet<TcpStream>,
}

impl Deaf {
    pub(crate) async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let mut queued = JoinSet::new();
        for _ in 0..4 {
            queued.spawn(async move {
                let stream = TcpStream::connect(address).await.unwrap();
                std::future::pending::<()>().await;
                stream
            });
        }
        eventually("the queue is full", async || dials_under_way(address.port()) >= 2).await;
        let own_dials = dials_under_way(address.port());
        Self { port: address.port(), own_dials, _listener: listener, _queued: queued }
    }

    /// Waits until others dial it so many times at once.
    pub(crate) async fn is_dialled(&self, times: usize) {
        eventually("it is dialled", async || self.dials() >= times).await;
    }

    /// How many others dial it right now.
    pub(crate) fn dials(&self) -> usize {
        dials_under_way(self.port) - self.own_dials
    }
}

/// How many sockets of this machine wait for this port to accept them (proc(5), `/proc/net/tcp`).
fn dials_under_way(port: u16) -> usize {
    const SYN_SENT: &str = "02";
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!("0100007F:{port:04X}");
    let waits = |line: &&str| {
        let mut columns = line.split_whitespace().skip(2);
        columns.next() == Some(&remote) && columns.next() == Some(SYN_SENT)
    };
    table.lines().filter(waits).count()
}
