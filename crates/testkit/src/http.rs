use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::{Listening, Wire};

/// An answer, read by its Content-Length, its chunks, or to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The whole head, as text.
    pub head: String,
    /// The content.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field; names are not case-sensitive.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The content as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A client connection that is kept alive.
#[derive(Debug)]
pub struct Http {
    /// The connection itself, for whatever a test wants to do to it.
    pub wire: Wire,
}

impl Http {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        Self { wire: Wire::connect(address) }
    }

    /// One GET on a connection of its own.
    pub fn once(address: SocketAddr, path: &str) -> Answer {
        Self::connect(address).get(path)
    }

    /// A GET.
    pub fn get(&mut self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|seen| panic!("no answer to GET {path}; seen: {seen:?}"))
    }

    /// A GET; what was seen of the answer if the connection ends within it.
    pub fn try_get(&mut self, path: &str) -> Result<Answer, Vec<u8>> {
        if !self.wire.try_send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")) {
            return Err(Vec::new());
        }
        self.try_read_answer()
    }

    /// A request with a body. `fields` are lines, among which may be a Host.
    pub fn send(&mut self, method: &str, path: &str, fields: &str, body: &[u8]) -> Answer {
        let length = body.len();
        let host = if fields.contains("Host:") { "" } else { "Host: test\r\n" };
        let head = format!("{method} {path} HTTP/1.1\r\n{host}Content-Length: {length}\r\n{fields}\r\n");
        // At once, so that a small body is there with its head.
        self.wire.send([head.as_bytes(), body].concat());
        self.try_read_answer().unwrap_or_else(|seen| panic!("no answer to {method} {path}; seen: {seen:?}"))
    }

    /// Reads one answer.
    pub fn read_answer(&mut self) -> Answer {
        self.try_read_answer().unwrap_or_else(|seen| panic!("no answer; seen: {seen:?}"))
    }

    /// Reads one answer; what was seen of it if the connection ends within it.
    pub fn try_read_answer(&mut self) -> Result<Answer, Vec<u8>> {
        let head = String::from_utf8(self.wire.try_read_until(b"\r\n\r\n")?).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let body = if let Some(length) = field(&head, "Content-Length") {
            self.wire.read_exact(length.parse().expect("a length"))
        } else if field(&head, "Transfer-Encoding").is_some() {
            self.read_chunks()
        } else if matches!(status, 100..=199 | 204 | 304) {
            Vec::new()
        } else {
            self.wire.read_to_end()
        };
        Ok(Answer { status, head, body })
    }

    fn read_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.wire.read_until(b"\r\n")).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
            body.extend(self.wire.read_exact(size));
            if size == 0 {
                // Trailers, if any, and the empty line.
                while self.wire.read_until(b"\r\n") != b"\r\n" {}
                return body;
            }
            assert_eq!(self.wire.read_exact(2), b"\r\n");
        }
    }
}

/// An upstream that answers every request in the same way and keeps its connections. It reads bodies by their
/// Content-Length.
#[derive(Debug)]
pub struct SteadyUpstream {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl SteadyUpstream {
    /// Answers with this text as the content of a 200.
    pub fn saying(text: &str) -> Self {
        let length = text.len();
        Self::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}"))
    }

    /// Answers with these bytes.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::answering_as(move |_| answer.clone())
    }

    /// Answers with the head of the request, as it came, as the content of a 200.
    pub fn echoing() -> Self {
        Self::answering_as(|head| {
            let length = head.len();
            [format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes(), head].concat()
        })
    }

    /// Answers with bytes that this makes of a request's head.
    fn answering_as(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let (listening, answer) = (Listening::start(), Arc::new(answer));
        let upstream =
            Self { address: listening.address(), requests: Arc::default(), stopped: Arc::default() };
        let (requests, stopped) = (Arc::clone(&upstream.requests), Arc::clone(&upstream.stopped));
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Some(wire) = listening.try_accept() else {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    continue;
                };
                let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
                std::thread::spawn(move || serve(wire, &*answer, &requests));
            }
        });
        upstream
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests it has answered.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for SteadyUpstream {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

fn serve(mut wire: Wire, answer: &impl Fn(&[u8]) -> Vec<u8>, requests: &AtomicUsize) {
    while let Ok(head) = wire.try_read_until(b"\r\n\r\n") {
        if let Some(length) = field(&String::from_utf8_lossy(&head), "Content-Length") {
            wire.read_exact(length.parse().expect("a length"));
        }
        requests.fetch_add(1, Ordering::Relaxed);
        if !wire.try_send(answer(&head)) {
            return;
        }
    }
}
