//! A registry that does what the test says: every call waits for the test to answer it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use berth_client::RegistryAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Holds the clock of a test with paused time still, so that time passes only where the test says so.
///
/// A paused clock otherwise jumps to the next timer whenever the runtime waits for a socket. A blocking task
/// inhibits that. It gives up after half a minute, upon which the clock runs into the time limits below. A test
/// that goes on after that fails in the end: what it waited for may have come of the time that ran.
pub(crate) struct StillClock {
    _release: std::sync::mpsc::Sender<()>,
    gave_up: Arc<AtomicBool>,
}

pub(crate) fn hold_clock() -> StillClock {
    let (release, held) = std::sync::mpsc::channel();
    let gave_up = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&gave_up);
    tokio::task::spawn_blocking(move || {
        let outcome: Result<(), _> = held.recv_timeout(Duration::from_secs(30));
        tell.store(outcome == Err(RecvTimeoutError::Timeout), Ordering::Release);
    });
    StillClock { _release: release, gave_up }
}

impl Drop for StillClock {
    fn drop(&mut self) {
        let is_failing = std::thread::panicking();
        assert!(is_failing || !self.gave_up.load(Ordering::Acquire), "the clock could not be held so long");
    }
}

/// Waits for something that must happen while the clock stands still.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(1_000_000), future).await {
        Ok(output) => output,
        Err(_) => panic!("in vain: {what}"),
    }
}

/// Lets time pass in small steps until the future is done; returns how much passed.
pub(crate) async fn pass_until<F: Future>(what: &str, most: Duration, future: F) -> (F::Output, Duration) {
    const STEP: Duration = Duration::from_millis(20);
    tokio::pin!(future);
    let start = tokio::time::Instant::now();
    loop {
        tokio::select! {
            biased;
            output = &mut future => return (output, start.elapsed()),
            () = settle() => {}
        }
        assert!(start.elapsed() < most, "not within {most:?}: {what}");
        tokio::time::advance(STEP).await;
    }
}

/// Gives sockets and tasks of this thread the turns that a call and its answer take.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Lets this much time pass, in steps small enough for everybody to keep up.
pub(crate) async fn pass(time: Duration) {
    let end = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < end {
        settle().await;
        tokio::time::advance(Duration::from_millis(20)).await;
    }
    settle().await;
}

/// A port that stays ours while nobody listens on it: connections are refused.
pub(crate) struct Port {
    address: SocketAddr,
    _reservation: TcpSocket,
}

impl Port {
    pub(crate) fn reserve() -> Self {
        let reservation = reusable(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Self { address: reservation.local_addr().expect("it is bound"), _reservation: reservation }
    }

    pub(crate) fn registry(&self) -> RegistryAddress {
        self.address.to_string().parse().expect("a socket address is a registry address")
    }

    /// Listens until the fake is dropped.
    pub(crate) fn listen(&self) -> Fake {
        let listener = reusable(self.address).listen(64).expect("nobody else listens there");
        let (sender, calls) = mpsc::unbounded_channel();
        let (link_sender, links) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, sender.clone(), link_sender.clone()));
            }
        });
        Fake { calls, links, _tasks: tasks }
    }
}

/// A listening registry; dropping it closes every connection and refuses new ones.
pub(crate) struct Fake {
    calls: mpsc::UnboundedReceiver<Call>,
    links: mpsc::UnboundedReceiver<Call>,
    _tasks: JoinSet<()>,
}

impl Fake {
    /// The next call, in the order of their coming.
    pub(crate) async fn next(&mut self) -> Call {
        soon("a call", self.calls.recv()).await.expect("the fake registry runs")
    }

    /// The next call that opens a link. They stand apart, because most tests do not care for them.
    pub(crate) async fn next_link(&mut self) -> Call {
        soon("a link", self.links.recv()).await.expect("the fake registry runs")
    }

    /// Whether nobody called.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.calls.is_empty()
    }

    /// Whether nobody asked for a link.
    pub(crate) fn has_no_link_call(&mut self) -> bool {
        self.links.is_empty()
    }
}

/// A call that waits for its answer. Dropping it closes its connection.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) head: String,
    pub(crate) body: String,
    answer: oneshot::Sender<Answer>,
}

#[derive(Debug)]
enum Answer {
    Whole(Vec<u8>),
    Stream(mpsc::UnboundedReceiver<Vec<u8>>),
}

impl Call {
    /// Method and target together.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let is_it = |line: &&str| line.split(':').next().is_some_and(|key| key.eq_ignore_ascii_case(name));
        let line = self.head.lines().skip(1).find(is_it)?;
        line.split_once(':').map(|(_, value)| value.trim())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    pub(crate) fn answer(self, status: u16, extra: &str, content_type: &str, body: &str) {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: {content_type}\r\n{extra}content-length: {length}\r\n\r\n{body}"
        );
        // The caller may have gone away in the meantime, which is for the test to notice elsewhere.
        let _ = self.answer.send(Answer::Whole(text.into_bytes()));
    }

    pub(crate) fn ok(self, body: &serde_json::Value) {
        self.answer(200, "", "application/json", &body.to_string());
    }

    pub(crate) fn problem(self, status: u16, extra: &str, body: &serde_json::Value) {
        self.answer(status, extra, "application/problem+json", &body.to_string());
    }

    /// Waits until the caller has given up waiting for the answer.
    pub(crate) async fn given_up(mut self) {
        soon("the caller gives up", self.answer.closed()).await;
    }

    /// Answers with an event stream that stays open until the handle is dropped.
    pub(crate) fn stream(self) -> EventsOut {
        let (bytes, source) = mpsc::unbounded_channel();
        let _ = self.answer.send(Answer::Stream(source));
        let out = EventsOut { bytes };
        out.raw(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n",
        );
        out
    }
}

/// The sending end of an event stream.
pub(crate) struct EventsOut {
    bytes: mpsc::UnboundedSender<Vec<u8>>,
}

impl EventsOut {
    pub(crate) fn raw(&self, text: &str) {
        let _ = self.bytes.send(text.as_bytes().to_vec());
    }

    pub(crate) fn event(&self, name: &str, id: &str, data: &serde_json::Value) {
        self.raw(&format!("event: {name}\nid: {id}\ndata: {data}\n\n"));
    }

    /// Whether the reader has closed its end.
    pub(crate) fn is_closed(&self) -> bool {
        self.bytes.is_closed()
    }

    /// Waits until the reader has closed its end.
    pub(crate) async fn closed(&self) {
        soon("the reader closes the stream", self.bytes.closed()).await;
    }
}

fn reusable(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option that Linux has");
    socket.bind(address).expect("a loopback port");
    socket
}

async fn serve(
    mut socket: TcpStream,
    calls: mpsc::UnboundedSender<Call>,
    links: mpsc::UnboundedSender<Call>,
) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = read_request(&mut socket, &mut buffer).await {
        let mut words = head.split(' ').map(str::to_owned);
        let method = words.next().expect("a method");
        let target = words.next().expect("a target");
        let (answer, answered) = oneshot::channel();
        let queue = if target == "/v1/link" { &links } else { &calls };
        let _ = queue.send(Call { method, target, head, body, answer });
        let mut probe = [0; 1];
        tokio::select! {
            answer = answered => match answer {
                Ok(Answer::Whole(bytes)) => {
                    if socket.write_all(&bytes).await.is_err() { return; }
                }
                Ok(Answer::Stream(source)) => return send_stream(socket, source).await,
                Err(_) => return,
            },
            _ = socket.peek(&mut probe) => return,
        }
    }
}

async fn send_stream(mut socket: TcpStream, mut source: mpsc::UnboundedReceiver<Vec<u8>>) {
    let (mut reading, mut writing) = socket.split();
    let mut probe = [0; 1];
    loop {
        tokio::select! {
            bytes = source.recv() => match bytes {
                Some(bytes) => if writing.write_all(&bytes).await.is_err() { return },
                None => return,
            },
            _ = reading.read(&mut probe) => return,
        }
    }
}

async fn read_request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
                })
                .unwrap_or(0);
            if rest.len() >= length {
                buffer.drain(..head.len() + 4 + length);
                return Some((head.to_owned(), rest[..length].to_owned()));
            }
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
