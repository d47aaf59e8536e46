use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tracing::info;

/// A sum of more numbers than these is computed apart from the threads that serve connections.
const LONG_WORK: u64 = 1_000_000;

/// What every request is answered with.
#[derive(Clone, Debug)]
pub(crate) struct Adder {
    port: u16,
    work: u64,
    delay: Duration,
    is_stopping: Arc<AtomicBool>,
}

impl Adder {
    pub(crate) fn new(port: u16, work: u64, delay: Duration) -> Self {
        Self { port, work, delay, is_stopping: Arc::default() }
    }

    /// From now on every answer is the last one on its connection.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    async fn sum(&self) -> Option<u64> {
        let work = self.work;
        if work <= LONG_WORK {
            return Some(sum_below(work));
        }
        tokio::task::spawn_blocking(move || sum_below(work)).await.ok()
    }
}

/// Answers any request, once its body has been read to the end.
pub(crate) async fn answer(State(adder): State<Adder>, request: Request) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut body = request.into_body().into_data_stream();
    let mut is_whole = true;
    while let Some(chunk) = body.next().await {
        is_whole &= chunk.is_ok();
    }
    if !adder.delay.is_zero() {
        tokio::time::sleep(adder.delay).await;
    }
    let mut response = match adder.sum().await {
        _ if !is_whole => (StatusCode::BAD_REQUEST, "the body ended early\n").into_response(),
        Some(sum) => format!("{sum} from port {}\n", adder.port).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    if !is_whole || adder.is_stopping.load(Ordering::Relaxed) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status().as_u16();
    let time_ms = start.elapsed().as_micros() as f64 / 1000.0;
    info!(%method, path, status, time_ms, "answered");
    response
}

/// The compiler knows a formula for this; the black box keeps the loop.
fn sum_below(count: u64) -> u64 {
    (0..count).fold(0, |sum, number| sum + black_box(number))
}
