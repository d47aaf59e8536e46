use std::time::Duration;

use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a refused peer may take for its request and for the answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much of its request is read.
const MOST_READ_BYTES: u64 = 64 * 1024;

/// Answers a connection for which there is no place with 503, whatever it asks.
///
/// What has arrived is read before the end: a connection that is closed with unread bytes is reset, and the reset
/// would overtake the answer.
pub(crate) async fn refuse(mut stream: TcpStream) {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let body = format!(
        r#"{{"type":"about:blank","title":"{}","status":{},"detail":"As many connections are open as may be.","mend":"Try again later, or raise --max-connections."}}"#,
        status.canonical_reason().unwrap_or_default(),
        status.as_u16(),
    );
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    );
    let _ = timeout(PATIENCE, async {
        // The request first: some clients take no answer to what they have not sent.
        let _ = stream.readable().await;
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(MOST_READ_BYTES), &mut tokio::io::sink()).await
    })
    .await;
}
