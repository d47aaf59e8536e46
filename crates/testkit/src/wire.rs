use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::PATIENCE;
use crate::patience::PAUSE;

/// One end of a TCP connection, byte by byte.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    /// Read, but not yet asked for.
    ahead: Vec<u8>,
    was_reset: bool,
}

impl Wire {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("connect"))
    }

    /// Connects from this IPv4 address of the machine; all of 127.0.0.0/8 are.
    pub fn connect_from(from: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&socket, &SocketAddr::from((from, 0))).expect("an address of this machine");
        connect(&socket, &address).expect("connect");
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, ahead: Vec::new(), was_reset: false }
    }

    /// Whether it ended before a byte came. That is waited for.
    fn is_wordless(&self) -> bool {
        matches!(self.stream.peek(&mut [0]), Ok(0))
    }

    /// The address of this end.
    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("send");
    }

    /// Sends as much as the other end takes; for peers that may be gone.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Reads up to and including `mark`.
    pub fn read_until(&mut self, mark: &[u8]) -> Vec<u8> {
        self.try_read_until(mark).unwrap_or_else(|seen| {
            panic!("the connection ended before {:?}; seen: {:?}", text(mark), text(&seen));
        })
    }

    /// Reads up to and including `mark`, or what came before the connection ended.
    pub fn try_read_until(&mut self, mark: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
        loop {
            if let Some(at) = self.ahead.windows(mark.len()).position(|window| window == mark) {
                return Ok(self.ahead.drain(..at + mark.len()).collect());
            }
            if self.read_more() == 0 {
                return Err(std::mem::take(&mut self.ahead));
            }
        }
    }

    /// Reads a head, as text.
    pub fn read_head(&mut self) -> String {
        String::from_utf8(self.read_until(b"\r\n\r\n")).expect("a head is text")
    }

    /// Reads exactly so many bytes.
    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count {
            assert!(self.read_more() > 0, "the connection ended after {} of {count} bytes", self.ahead.len());
        }
        self.ahead.drain(..count).collect()
    }

    /// Reads to the end of the connection. A reset counts as an end.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more() > 0 {}
        std::mem::take(&mut self.ahead)
    }

    /// Reads to the end of the connection, and tells whether that was a reset.
    pub fn read_to_reset(&mut self) -> (Vec<u8>, bool) {
        let seen = self.read_to_end();
        (seen, self.was_reset)
    }

    /// Asserts that the other end closes without another byte.
    pub fn expect_end(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "expected the end, got {:?}", text(&rest));
    }

    /// Asserts that nothing has arrived by now.
    pub fn expect_silence(&mut self) {
        self.stream.set_nonblocking(true).unwrap();
        let mut bytes = [0; 1024];
        let read = self.stream.read(&mut bytes);
        self.stream.set_nonblocking(false).unwrap();
        match read {
            Err(error) if error.kind() == ErrorKind::WouldBlock => assert!(self.ahead.is_empty()),
            other => panic!("expected silence, got {other:?}"),
        }
    }

    /// Says that nothing more will be sent; reading goes on.
    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("shutdown");
    }

    /// Sends zeros until the other end takes no more, `most` at most; tells how many it took.
    pub fn fill(&mut self, most: usize) -> usize {
        const QUIET_ROUNDS: u32 = 40;
        let zeros = [0; 64 * 1024];
        let (mut sent, mut quiet) = (0, 0);
        self.stream.set_nonblocking(true).unwrap();
        while sent < most && quiet < QUIET_ROUNDS {
            match self.stream.write(&zeros[..zeros.len().min(most - sent)]) {
                Ok(count) => (sent, quiet) = (sent + count, 0),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    quiet += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(error) => panic!("fill: {error}"),
            }
        }
        self.stream.set_nonblocking(false).unwrap();
        sent
    }

    /// Ends the connection with a reset, as a crashing peer may.
    pub fn reset(self) {
        let linger = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&self.stream, linger).expect("linger");
    }

    fn read_more(&mut self) -> usize {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.ahead.extend_from_slice(&bytes[..count]);
                count
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                self.was_reset = true;
                0
            }
            Err(error) => panic!("read: {error}; seen so far: {:?}", text(&self.ahead)),
        }
    }
}

/// A listening socket of a scripted peer.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
}

impl Listening {
    /// Listens on a free loopback port.
    pub fn start() -> Self {
        Self { listener: TcpListener::bind(("127.0.0.1", 0)).unwrap() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Takes the next connection, but for those that end without a word: somebody only looked whether anybody listens.
    pub fn accept(&self) -> Wire {
        loop {
            let wire = self.accept_any();
            if !wire.is_wordless() {
                return wire;
            }
        }
    }

    /// Takes the next connection, whatever it is.
    pub fn accept_any(&self) -> Wire {
        self.listener.set_nonblocking(true).unwrap();
        let stream = crate::eventually("a connection", || match self.listener.accept() {
            Ok((stream, _)) => Some(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("accept: {error}"),
        });
        stream.set_nonblocking(false).unwrap();
        Wire::over(stream)
    }

    /// Takes the next connection if one is waiting by now, with the same exception.
    pub fn try_accept(&self) -> Option<Wire> {
        self.listener.set_nonblocking(true).unwrap();
        loop {
            let (stream, _) = self.listener.accept().ok()?;
            stream.set_nonblocking(false).unwrap();
            let wire = Wire::over(stream);
            if !wire.is_wordless() {
                return Some(wire);
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(2000)];
    shown.escape_ascii().to_string()
}
