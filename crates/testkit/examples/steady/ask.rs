use std::io::{Error, ErrorKind};
use std::net::SocketAddr;

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::shape::{LARGE_BYTES, Shape, filler_bytes, large_body};

const MOST_ANSWER_BYTES: usize = 512 << 10;

/// One request: its shape, and the id that its answer must repeat.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) shape: Shape,
    pub(crate) id: String,
}

/// What a client gets instead of the answer it asked for.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// `refused`, `reset`, `closed`, `broken`, `wrong`, or `status-503` and the like.
    pub(crate) kind: String,
    /// Whether the connection ended before a byte of the answer: then a GET may be sent again.
    pub(crate) is_unanswered: bool,
}

impl Trouble {
    fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), is_unanswered: false }
    }

    fn of(error: &Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::ConnectionRefused => "refused",
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset",
            ErrorKind::UnexpectedEof => "closed",
            ErrorKind::InvalidData => "wrong",
            _ => return Self::new(format!("{:?}", error.kind())),
        };
        Self::new(kind)
    }
}

/// Connects.
pub(crate) async fn connect(target: SocketAddr) -> Result<TcpStream, Trouble> {
    let stream = TcpStream::connect(target).await.map_err(|error| Trouble::of(&error))?;
    stream.set_nodelay(true).map_err(|error| Trouble::of(&error))?;
    Ok(stream)
}

/// Whether a connection may be used again: neither closed by the other side, nor has it said anything unasked.
pub(crate) fn is_quiet(stream: &TcpStream) -> bool {
    let seen = recv(stream, &mut [0u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    seen.is_err_and(|error| error == rustix::io::Errno::WOULDBLOCK)
}

impl Ask {
    fn bytes(&self, is_last: bool) -> Vec<u8> {
        let Self { shape, id } = self;
        let (method, path) = (if shape.is_post() { "POST" } else { "GET" }, shape.path());
        let close = if is_last { "Connection: close\r\n" } else { "" };
        let head = format!("{method} {path}/{id} HTTP/1.1\r\nHost: chaos\r\n{close}");
        match shape {
            Shape::Post => {
                let body = format!("the body of {id}");
                let length = body.len();
                format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
            }
            Shape::LargePost => {
                [format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes(), large_body()].concat()
            }
            _ => format!("{head}\r\n").into_bytes(),
        }
    }

    /// Sends it and reads the answer; whether the connection may be used again. `seen` holds what has come of the
    /// answer, also when this is given up.
    pub(crate) async fn put(
        &self,
        stream: &mut TcpStream,
        is_last: bool,
        seen: &mut Vec<u8>,
    ) -> Result<bool, Trouble> {
        let outcome = async {
            // What a proxy has to say is worth more than that it read no further.
            let sent = stream.write_all(&self.bytes(is_last)).await;
            let answered = read_answer(stream, seen).await;
            if seen.is_empty() {
                sent?;
            }
            answered
        };
        match outcome.await {
            Ok(answer) => self.judge(&answer, seen),
            Err(error) if seen.is_empty() => Err(Trouble { is_unanswered: true, ..Trouble::of(&error) }),
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(Trouble::of(&error)),
            Err(_) => Err(Trouble::new("broken")),
        }
    }

    fn judge(&self, answer: &Answer, seen: &[u8]) -> Result<bool, Trouble> {
        if answer.status != 200 {
            return Err(Trouble::new(format!("status-{}", answer.status)));
        }
        // The id, who answered, how much of a large body has arrived there, and perhaps a large content.
        let content = &seen[answer.head_bytes..];
        let line_bytes = content.iter().position(|byte| *byte == b'\n').unwrap_or(content.len());
        let line = String::from_utf8_lossy(&content[..line_bytes]);
        let mut words = line.split(' ');
        let arrived_bytes = if self.shape == Shape::LargePost { LARGE_BYTES } else { 0 };
        let is_right = words.next() == Some(&self.id)
            && words.nth(1) == Some(&arrived_bytes.to_string())
            && filler_bytes(&content[line_bytes..]) == self.shape.answer_bytes();
        if !is_right {
            return Err(Trouble::new("wrong"));
        }
        Ok(answer.is_kept)
    }
}

struct Answer {
    status: u16,
    head_bytes: usize,
    is_kept: bool,
}

async fn read_answer(stream: &mut TcpStream, seen: &mut Vec<u8>) -> Result<Answer, Error> {
    let head_bytes = loop {
        if let Some(at) = seen.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(stream, seen).await?;
    };
    let head = String::from_utf8_lossy(&seen[..head_bytes]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status: u16 = status.ok_or_else(|| Error::from(ErrorKind::InvalidData))?;
    let mut is_kept = !field(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    if let Some(length) = field(&head, "content-length") {
        let length: usize = length.parse().map_err(|_| Error::from(ErrorKind::InvalidData))?;
        while seen.len() < head_bytes + length {
            read_more(stream, seen).await?;
        }
        // Bytes that nobody asked for make the connection useless, and the answer wrong.
        if seen.len() > head_bytes + length {
            return Err(ErrorKind::InvalidData.into());
        }
    } else if field(&head, "transfer-encoding").is_some() {
        while !seen.ends_with(b"\r\n0\r\n\r\n") {
            read_more(stream, seen).await?;
        }
    } else {
        is_kept = false;
        while read_more(stream, seen).await.is_ok() {}
    }
    Ok(Answer { status, head_bytes, is_kept })
}

async fn read_more(stream: &mut TcpStream, seen: &mut Vec<u8>) -> Result<(), Error> {
    if seen.len() > MOST_ANSWER_BYTES {
        return Err(ErrorKind::InvalidData.into());
    }
    match stream.read_buf(seen).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// The value of a field; names are not case-sensitive.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
