//! A peer that takes nothing of what it is sent.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use berth_daemon::Shutdown;
use berth_web::{ServeLimits, event, event_stream, serve};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

/// How long a test waits for something that must happen; no test that passes ever waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells when it is dropped.
struct Gone(mpsc::UnboundedSender<()>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

async fn open(path: &str, address: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_cut_off_and_one_that_has_nothing_to_take_is_not() {
    let (gone, mut cut) = mpsc::unbounded_channel();
    let flood = || async move {
        let gone = Gone(gone);
        event_stream(stream::repeat(Bytes::from(vec![b'x'; 64 * 1024])).map(move |bytes| {
            let _ = &gone;
            bytes
        }))
    };
    let speak = Arc::new(Notify::new());
    let asked = Arc::clone(&speak);
    let quiet = || async move {
        let later = stream::once(async move {
            asked.notified().await;
            event("2", "word", "{}")
        });
        event_stream(stream::iter([event("1", "word", "{}")]).chain(later))
    };
    let router = Router::new().route("/flood", get(flood)).route("/quiet", get(quiet));
    let limits = ServeLimits { send_time: Duration::from_millis(300), ..ServeLimits::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(vec![listener], router, limits, &Shutdown::default()).await });

    let mut quiet = open("/quiet", address).await;
    let mut flooded = open("/flood", address).await;
    timeout(PATIENCE, cut.recv()).await.expect("the stream is dropped").unwrap();
    // What was under way is there, then it ends without the last chunk.
    let mut received = Vec::new();
    let _ = timeout(PATIENCE, flooded.read_to_end(&mut received)).await.expect("an end");
    assert!(!received.ends_with(b"0\r\n\r\n"));

    // The other one was silent for as long at least.
    speak.notify_one();
    let mut received = Vec::new();
    timeout(PATIENCE, async {
        while !received.ends_with(b"0\r\n\r\n") {
            assert!(quiet.read_buf(&mut received).await.unwrap() > 0, "it was cut off too");
        }
    })
    .await
    .expect("the second word");
    assert!(String::from_utf8(received).unwrap().contains("id: 2\n"));
}
