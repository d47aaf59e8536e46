use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

/// One event as it travels (WHATWG HTML §9.2, server-sent events).
///
/// `id` and `name` must be single lines; `data` may have several.
pub fn event(id: &str, name: &str, data: &str) -> Bytes {
    let mut text = String::with_capacity(id.len() + name.len() + data.len() + 32);
    for (field, value) in [("id", id), ("event", name)] {
        push_line(&mut text, field, value);
    }
    for line in data.split('\n') {
        push_line(&mut text, "data", line);
    }
    text.push('\n');
    text.into()
}

/// An answer that stays open and passes on what the stream yields, each item as soon as it comes.
pub fn event_stream(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::from_stream(events.map(Ok::<_, Infallible>))).into_response()
}

fn push_line(text: &mut String, field: &str, value: &str) {
    for part in [field, ": ", value, "\n"] {
        text.push_str(part);
    }
}
