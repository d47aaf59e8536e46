//! Idle connections behind a time in which nobody listened to them.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use berth_testkit::{Listening, eventually};
use tokio::task::LocalSet;

use super::super::per_client::Clients;
use super::super::shared::Worker;
use super::super::stream::Stream;
use super::{Setup, endpoints};
use crate::telemetry::Cells;

/// A worker with a connection that was idle when it ended, of which the runtime has heard nothing: it gets no turn from
/// the end on.
async fn with_a_dead_connection(peer: &Listening) -> Worker {
    let all = endpoints(&[peer.address()]);
    let (published, _) = Setup::of(&all).published();
    let worker = Worker::new(published, Arc::<Cells>::default(), None, Arc::<Clients>::default(), 10, 1000);
    let stream = tokio::net::TcpStream::connect(peer.address()).await.unwrap();
    let mut stream = Stream::Plain(stream);
    // Now it is known that there is nothing to read.
    poll_fn(|cx| Poll::Ready(stream.poll_read(cx, &mut [0]).is_pending())).await;
    drop(peer.accept_any());
    eventually("the end", || stream.has_spoken().then_some(()));
    worker.pool.put(1, stream, worker.deadlines.now_ms());
    worker
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn the_runtime_is_believed_when_there_was_none() {
    block_on(async {
        let peer = Listening::start();
        let worker = with_a_dead_connection(&peer).await;
        assert!(worker.take_idle(1, Instant::now()).is_some());
    });
}

#[test]
fn the_kernel_is_asked_before_the_first_tick() {
    block_on(async {
        let peer = Listening::start();
        let worker = with_a_dead_connection(&peer).await;
        assert!(worker.take_idle(1, Instant::now() + Duration::from_secs(2)).is_none());
    });
}

#[test]
fn the_kernel_is_asked_after_the_first_tick() {
    block_on(async {
        let peer = Listening::start();
        let worker = with_a_dead_connection(&peer).await;
        let now = Instant::now() + Duration::from_secs(2);
        worker.tick(now);
        assert!(worker.take_idle(1, now).is_none());
    });
}

#[test]
fn who_lives_serves_on() {
    block_on(async {
        let peer = Listening::start();
        let worker = with_a_dead_connection(&peer).await;
        let stream = tokio::net::TcpStream::connect(peer.address()).await.unwrap();
        let _other = peer.accept();
        worker.pool.put(2, Stream::Plain(stream), worker.deadlines.now_ms());
        assert!(worker.take_idle(2, Instant::now() + Duration::from_secs(2)).is_some());
    });
}

/// Whoever stood still with the balancer has not been silent.
#[test]
fn a_stall_is_no_time_on_the_balancers_clock() {
    let (published, _) = Setup::of(&[]).published();
    let (begun, before_ms) = (Instant::now(), published.now_ms());
    let after_ms = published.ms_at(begun + Duration::from_secs(20));
    assert!(after_ms - before_ms <= 500, "{before_ms} {after_ms}");
    let on_ms = published.ms_at(begun + Duration::from_millis(20_250));
    assert_eq!(on_ms - after_ms, 250);
}
