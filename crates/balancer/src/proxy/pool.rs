use std::cell::RefCell;
use std::io;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::net::TcpStream;

/// Idle connections that are kept per endpoint and worker.
const MOST_IDLE: usize = 1024;

/// Idle upstream connections of one worker, by the key of their endpoint. The last one put back is the first
/// one taken: it is the least likely to have been closed meanwhile, and the others get the chance to age out.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    // Keys are ours, so the hash need not withstand anybody.
    idle: RefCell<FxHashMap<u64, Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    stream: TcpStream,
    since_ms: u64,
}

impl Pool {
    /// A connection that was alive a moment ago.
    pub(crate) fn take(&self, key: u64) -> Option<TcpStream> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(&key)?;
        while let Some(entry) = stack.pop() {
            if is_silent(&entry.stream) {
                return Some(entry.stream);
            }
        }
        None
    }

    /// Keeps a connection on which an exchange has ended cleanly.
    pub(crate) fn put(&self, key: u64, stream: TcpStream, now_ms: u64) {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.entry(key).or_default();
        if stack.len() < MOST_IDLE {
            stack.push(Idle { stream, since_ms: now_ms });
        }
    }

    /// Drops what the upstream has closed and what nobody needed for so long.
    pub(crate) fn reap(&self, now_ms: u64, longest: Duration) {
        let longest_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        self.idle.borrow_mut().retain(|_, stack| {
            stack.retain(|entry| {
                now_ms.saturating_sub(entry.since_ms) < longest_ms && is_silent(&entry.stream)
            });
            !stack.is_empty()
        });
    }

    /// Drops the connections of endpoints that are gone.
    pub(crate) fn retain(&self, mut known: impl FnMut(u64) -> bool) {
        self.idle.borrow_mut().retain(|key, _| known(*key));
    }
}

/// Whether nothing has arrived: not the end, and no bytes that nobody asked for. It costs no system call unless
/// something has.
fn is_silent(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
