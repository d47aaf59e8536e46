use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::Problem;

/// How long a caller may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How much of a refused body is read and dropped. A connection closed with unread bytes is reset, and the
/// reset would overtake the answer that says why.
const MOST_DISCARDED_BYTES: usize = 4 * 1024 * 1024;

/// Reads a request's whole body within the limits that hold for everyone.
pub(crate) async fn read(parts: &Parts, mut body: Body, most_bytes: usize) -> Result<Bytes, Problem> {
    let refusal = match check_headers(&parts.headers, most_bytes) {
        Ok(()) => match tokio::time::timeout(BODY_TIME, collect(&mut body, most_bytes)).await {
            Ok(Ok(bytes)) => return Ok(bytes),
            Ok(Err(problem)) => problem,
            Err(_) => {
                let detail = format!("The body did not arrive within {} s.", BODY_TIME.as_secs());
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
                    .field("body")
                    .mend("Send it again."));
            }
        },
        Err(problem) => problem,
    };
    // Who asks before sending (Expect: 100-continue) is answered before it sends anything.
    if !parts.headers.contains_key(header::EXPECT) {
        let _ = tokio::time::timeout(BODY_TIME, discard(&mut body)).await;
    }
    Err(refusal)
}

fn check_headers(headers: &HeaderMap, most_bytes: usize) -> Result<(), Problem> {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most_bytes as u64) {
        return Err(too_large(most_bytes));
    }
    let has_body = length.is_some_and(|length| length > 0) || headers.contains_key(header::TRANSFER_ENCODING);
    if has_body && !is_json(headers) {
        let detail = "The body is not announced as JSON.";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
            .field("Content-Type")
            .mend("Send the header Content-Type: application/json."));
    }
    Ok(())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn too_large(most_bytes: usize) -> Problem {
    let detail = format!("The body is larger than {most_bytes} bytes.");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).field("body").mend("Send less meta and fewer routes.")
}

async fn collect(body: &mut Body, most_bytes: usize) -> Result<Bytes, Problem> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::new(StatusCode::BAD_REQUEST, "The body ended early or is framed wrongly.").field("body")
        })?;
        if let Some(data) = frame.data_ref() {
            if collected.len() + data.len() > most_bytes {
                return Err(too_large(most_bytes));
            }
            collected.extend_from_slice(data);
        }
    }
    Ok(collected.freeze())
}

async fn discard(body: &mut Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > MOST_DISCARDED_BYTES {
            return;
        }
    }
}
