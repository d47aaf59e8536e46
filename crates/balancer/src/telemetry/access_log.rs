//! The access log: a line per request, written by a thread of its own so that a slow disk slows nobody.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use berth_http1::forward::request_id;
use berth_http1::{RequestHead, Version};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::oneshot;

/// Blocks of lines that may wait for the writer; more are dropped and counted.
const MOST_WAITING_BLOCKS: usize = 1024;
/// A worker hands over its lines at this size, or at its next tick.
const BLOCK_BYTES: usize = 16 * 1024;

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
}

impl fmt::Display for AccessTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessTarget::Off => f.write_str("off"),
            AccessTarget::Stdout => f.write_str("-"),
            AccessTarget::File(path) => path.display().fmt(f),
        }
    }
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AccessFormat {
    /// Apache's combined format, then the upstream's address and the seconds that the request took.
    #[default]
    Combined,
    /// A JSON object.
    Json,
}

/// The log and its writer thread.
pub(crate) struct AccessLog {
    blocks: SyncSender<Vec<u8>>,
    /// Tells when the writer has written everything.
    written: oneshot::Receiver<()>,
    format: AccessFormat,
    dropped: Arc<AtomicU64>,
}

impl AccessLog {
    /// Opens the log; none when it is off.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub(crate) fn open(target: &AccessTarget, format: AccessFormat) -> io::Result<Option<Self>> {
        let output: Box<dyn Write + Send> = match target {
            AccessTarget::Off => return Ok(None),
            AccessTarget::Stdout => Box::new(io::stdout()),
            AccessTarget::File(path) => Box::new(append_to(path)?),
        };
        let (blocks, waiting) = sync_channel(MOST_WAITING_BLOCKS);
        let (done, written) = oneshot::channel();
        // Never joined: a pipe that nobody reads would hold up the end of the process.
        std::thread::Builder::new().name("access-log".into()).spawn(move || {
            write_all(&waiting, output);
            // The process may have stopped waiting.
            let _ = done.send(());
        })?;
        Ok(Some(Self { blocks, written, format, dropped: Arc::default() }))
    }

    /// A worker's end of the log.
    pub(crate) fn for_worker(&self) -> WorkerLog {
        WorkerLog {
            blocks: self.blocks.clone(),
            format: self.format,
            dropped: Arc::clone(&self.dropped),
            block: RefCell::default(),
        }
    }

    /// Lines that were dropped because the writer did not keep up.
    pub(crate) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Waits until everything is written. All workers must be gone.
    pub(crate) async fn close(self) {
        drop(self.blocks);
        // The writer ends when the last sender is gone; if it panicked there is nothing left to save.
        let _ = self.written.await;
    }
}

fn append_to(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn write_all(waiting: &Receiver<Vec<u8>>, mut output: Box<dyn Write + Send>) {
    let mut told = false;
    for block in waiting {
        let written = output.write_all(&block).and_then(|()| output.flush());
        match written {
            Ok(()) => told = false,
            Err(error) if !told => {
                tracing::error!(%error, "cannot write the access log, lines are lost");
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// What the access log tells of a request beside its outcome. Kept only while there is a log.
#[derive(Debug)]
pub(crate) struct LoggedLine {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) host: String,
    pub(crate) referer: String,
    pub(crate) user_agent: String,
    /// The client's own, or the one that was made for it.
    pub(crate) request_id: String,
}

impl LoggedLine {
    pub(crate) fn of(head: &RequestHead<'_>, entropy: [u64; 3]) -> Box<Self> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let field = |name| head.field(name).map(text).unwrap_or_default();
        Box::new(Self {
            method: text(head.method),
            target: text(head.target),
            version: head.version,
            host: head.host.map(text).unwrap_or_default(),
            referer: field("referer"),
            user_agent: field("user-agent"),
            request_id: head.field("x-request-id").map_or_else(|| request_id(entropy), text),
        })
    }
}

/// One request, as the log tells it.
pub(crate) struct AccessEntry<'a> {
    pub(crate) peer: &'a str,
    /// None of a request that could not be read.
    pub(crate) line: Option<&'a LoggedLine>,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) took: Duration,
    /// How long of that it waited for a place at an endpoint.
    pub(crate) waited: Duration,
    pub(crate) failure: Option<&'a dyn Display>,
}

/// A worker's end of the log.
#[derive(Debug)]
pub(crate) struct WorkerLog {
    blocks: SyncSender<Vec<u8>>,
    format: AccessFormat,
    dropped: Arc<AtomicU64>,
    block: RefCell<Block>,
}

#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    lines: u64,
}

impl WorkerLog {
    /// Adds a line.
    pub(crate) fn write(&self, entry: &AccessEntry<'_>) {
        let mut block = self.block.borrow_mut();
        // Writing to a vector cannot fail.
        let _ = match self.format {
            AccessFormat::Combined => combined(&mut block.bytes, entry),
            AccessFormat::Json => json(&mut block.bytes, entry),
        };
        block.lines += 1;
        if block.bytes.len() >= BLOCK_BYTES {
            drop(block);
            self.flush();
        }
    }

    /// Hands the lines over to the writer.
    pub(crate) fn flush(&self) {
        let block = self.block.take();
        if block.bytes.is_empty() {
            return;
        }
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.blocks.try_send(block.bytes)
        {
            self.dropped.fetch_add(block.lines, Ordering::Relaxed);
        }
    }
}

fn combined(out: &mut Vec<u8>, entry: &AccessEntry<'_>) -> io::Result<()> {
    let AccessEntry { peer, line, status, bytes, took, .. } = entry;
    let time = Timestamp::now().strftime("%d/%b/%Y:%H:%M:%S +0000");
    write!(out, "{peer} - - [{time}] ")?;
    match line {
        Some(line) => {
            let (method, target) = (quoted(&line.method), quoted(&line.target));
            let (referer, agent) = (quoted(&line.referer), quoted(&line.user_agent));
            let version = version_text(line.version);
            write!(out, "\"{method} {target} {version}\" {status} {bytes} \"{referer}\" \"{agent}\"")?;
        }
        None => write!(out, "\"-\" {status} {bytes} \"-\" \"-\"")?,
    }
    match entry.endpoint {
        Some(address) => write!(out, " {address}")?,
        None => write!(out, " -")?,
    }
    writeln!(out, " {:.6}", took.as_secs_f64())
}

/// Nothing that a client sends may end the quotes or the line.
fn quoted(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => safe.extend(['\\', character]),
            _ if character.is_control() => safe.extend(character.escape_default()),
            _ => safe.push(character),
        }
    }
    safe
}

fn version_text(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// JSON without any control character, also those beyond ASCII that JSON itself would let through to a terminal.
struct Visible;

impl serde_json::ser::Formatter for Visible {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if !fragment.contains(char::is_control) {
            return out.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if character.is_control() {
                write!(out, "\\u{:04x}", u32::from(character))?;
            } else {
                write!(out, "{character}")?;
            }
        }
        Ok(())
    }
}

fn json(out: &mut Vec<u8>, entry: &AccessEntry<'_>) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        time: String,
        peer: &'a str,
        #[serde(flatten)]
        request: Option<Asked<'a>>,
        status: u16,
        bytes: u64,
        endpoint: Option<String>,
        duration_us: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        waited_us: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    }
    #[derive(Serialize)]
    struct Asked<'a> {
        method: &'a str,
        host: &'a str,
        target: &'a str,
        version: &'static str,
        referer: &'a str,
        user_agent: &'a str,
        request_id: &'a str,
    }
    let line = Line {
        time: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        peer: entry.peer,
        request: entry.line.map(|line| Asked {
            method: &line.method,
            host: &line.host,
            target: &line.target,
            version: version_text(line.version),
            referer: &line.referer,
            user_agent: &line.user_agent,
            request_id: &line.request_id,
        }),
        status: entry.status,
        bytes: entry.bytes,
        endpoint: entry.endpoint.map(|address| address.to_string()),
        duration_us: micros(entry.took),
        waited_us: (!entry.waited.is_zero()).then(|| micros(entry.waited)),
        failure: entry.failure.map(ToString::to_string),
    };
    line.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, Visible))?;
    out.write_all(b"\n")
}
