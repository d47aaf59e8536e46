use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that is kept alive, with as little work of its own as possible.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(4096) }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends a request and reads its answer. Returns status and body, the chunks as they came.
    pub(crate) async fn call(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        self.send(request).await;
        loop {
            if let Some(answer) = self.answer() {
                return answer;
            }
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the connection ended");
        }
    }

    fn answer(&mut self) -> Option<(u16, Vec<u8>)> {
        let head_end = find(&self.buffer, b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&self.buffer[..head_end]).unwrap().to_ascii_lowercase();
        let end = match head.split("content-length: ").nth(1) {
            Some(rest) => head_end + rest.split("\r\n").next()?.parse::<usize>().unwrap(),
            // The last of its chunks.
            None => head_end + find(&self.buffer[head_end..], b"\r\n0\r\n\r\n")? + 7,
        };
        (self.buffer.len() >= end).then(|| {
            let body = self.buffer[head_end..end].to_vec();
            self.buffer.drain(..end);
            (head[9..12].parse().unwrap(), body)
        })
    }

    /// Reads a stream until these bytes come, and forgets all up to them.
    pub(crate) async fn read_until(&mut self, needle: &[u8]) {
        loop {
            if let Some(at) = find(&self.buffer, needle) {
                self.buffer.drain(..at + needle.len());
                return;
            }
            // What was searched may hold a part of it at its end only.
            let keep = self.buffer.len().min(needle.len());
            self.buffer.drain(..self.buffer.len() - keep);
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the stream ended");
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A request with a JSON body.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Registers an instance that is not dialled.
pub(crate) fn put(service: &str, id: &str, port: u16) -> Vec<u8> {
    let body = format!(
        r#"{{"port":{port},"run":"7","version":"1.2.3","ttl_s":3600,"verify":"none","meta":{{"zone":"x"}}}}"#
    );
    request("PUT", &format!("/v1/services/{service}/instances/{id}"), &body)
}
