//! The framing of event streams, and their end.

use axum::Router;
use axum::routing::get;
use berth_daemon::Shutdown;
use berth_web::{ServeLimits, event, event_stream, serve};
use futures_util::StreamExt;
use tokio::net::TcpListener;

#[test]
fn an_event_is_three_fields_and_an_empty_line() {
    assert_eq!(&event("7", "tick", "{}")[..], b"id: 7\nevent: tick\ndata: {}\n\n");
    assert_eq!(&event("7", "note", "a\nb")[..], b"id: 7\nevent: note\ndata: a\ndata: b\n\n");
}

#[tokio::test]
async fn an_event_leaves_at_once_and_a_forced_end_cuts_the_stream() {
    let stream = || async {
        let first = futures_util::stream::iter([event("1", "tick", "{}")]);
        event_stream(first.chain(futures_util::stream::pending()))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let shutdown = Shutdown::default();
    let stages = shutdown.clone();
    let router = Router::new().route("/", get(stream));
    let served =
        tokio::spawn(async move { serve(vec![listener], router, ServeLimits::default(), &stages).await });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut events = answer.bytes_stream();
    assert_eq!(events.next().await.unwrap().unwrap(), event("1", "tick", "{}"));
    shutdown.forced.cancel();
    served.await.unwrap();
    assert!(events.next().await.is_none_or(|item| item.is_err()));
}
