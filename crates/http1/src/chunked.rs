//! The chunked transfer coding (RFC 9112 §7.1), followed byte by byte without taking it apart.

use std::ops::Range;

use thiserror::Error;

use crate::FieldEdits;
use crate::edits::TrailerWatch;
use crate::fields::classify;
use crate::lines::TOKEN_BYTES;

/// Sixteen hex digits would fit a `u64`; fifteen cannot overflow any sum that we build from them.
const MAX_SIZE_DIGITS: u8 = 15;
/// Chunk extensions that nobody uses, per chunk.
const MAX_EXTENSION_BYTES: u16 = 256;
/// The trailer section as a whole.
const MAX_TRAILER_BYTES: u16 = 16 * 1024;

/// The chunks break the grammar, or one of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct BadChunk(pub &'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before or among the digits of a size.
    Size {
        digits: u8,
        size: u64,
    },
    /// After `;` behind a size.
    Extension {
        bytes: u16,
        size: u64,
    },
    /// After the CR behind a size.
    SizeLf {
        size: u64,
    },
    /// Inside a chunk's data.
    Data {
        left: u64,
    },
    /// After a chunk's data.
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the last, empty line.
    LineStart {
        bytes: u16,
    },
    /// In a trailer line's name.
    Name {
        bytes: u16,
    },
    /// In a trailer line's value.
    Value {
        bytes: u16,
    },
    /// After the CR behind a trailer line.
    ValueLf {
        bytes: u16,
    },
    /// After the CR of the last, empty line.
    EndLf,
    Complete,
}

/// The longest trailer name that is looked at: no longer one means anything to a proxy.
const MAX_KNOWN_NAME_BYTES: usize = 17;

/// A chunked body on its way.
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    content_bytes: u64,
    /// The name of the trailer that is being read, and how long it is so far.
    name: [u8; MAX_KNOWN_NAME_BYTES],
    name_bytes: u8,
    /// What watches for trailers that would pass by edits, where there are any.
    watch: Option<Box<TrailerWatch>>,
}

impl Default for Chunked {
    fn default() -> Self {
        Self {
            state: State::Size { digits: 0, size: 0 },
            content_bytes: 0,
            name: [0; MAX_KNOWN_NAME_BYTES],
            name_bytes: 0,
            watch: None,
        }
    }
}

impl Chunked {
    /// A request's body whose fields are edited on the way: a trailer of such a name is refused.
    pub fn edited(edits: &FieldEdits) -> Self {
        Self { watch: edits.trailer_watch().map(Box::new), ..Self::default() }
    }

    /// Whether the last chunk and the trailer section have passed.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Takes the next bytes of the connection and tells how many of them are this body's. `data` is called with
    /// the range of each piece of content among them.
    ///
    /// # Errors
    /// The bytes break RFC 9112 §7.1. The state is then of no use.
    pub fn advance(&mut self, bytes: &[u8], mut data: impl FnMut(Range<usize>)) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Complete {
            if let State::Data { left } = self.state {
                let taken = usize::try_from(left).map_or(bytes.len() - at, |left| left.min(bytes.len() - at));
                data(at..at + taken);
                at += taken;
                self.content_bytes += taken as u64;
                let left = left - taken as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data { left } };
            } else {
                self.read_name(bytes[at])?;
                self.state = step(self.state, bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// How many bytes of the present chunk's content are still to come.
    pub fn unseen(&self) -> u64 {
        if let State::Data { left } = self.state { left } else { 0 }
    }

    /// Passes over so many bytes of the present chunk's content; at most [`Self::unseen`].
    pub fn pass(&mut self, bytes: u64) {
        if let State::Data { left } = self.state {
            let left = left.saturating_sub(bytes);
            self.state = if left == 0 { State::DataCr } else { State::Data { left } };
            self.content_bytes += bytes;
        }
    }

    /// How many bytes of content have passed so far.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Follows the name of a trailer. One that frames or routes comes too late (RFC 9110 §6.5.1), and an upstream
    /// that took it for a field of the head would read another message than we did. So it is with one that is edited.
    fn read_name(&mut self, byte: u8) -> Result<(), BadChunk> {
        match (self.state, byte) {
            (State::Name { .. }, b':') => {
                let name = self.name.get(..usize::from(self.name_bytes)).filter(|name| !name.is_empty());
                let is_edited = self.watch.as_mut().is_some_and(|watch| watch.ends_edited());
                if is_edited || name.is_some_and(|name| classify(name).is_too_late()) {
                    return Err(BadChunk("a trailer has a name that only a head may have"));
                }
                self.name_bytes = 0;
            }
            (State::LineStart { .. } | State::Name { .. }, _) => {
                if let Some(place) = self.name.get_mut(usize::from(self.name_bytes)) {
                    *place = byte;
                }
                self.name_bytes = self.name_bytes.saturating_add(1);
                if let Some(watch) = &mut self.watch {
                    watch.push(byte);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn step(state: State, byte: u8) -> Result<State, BadChunk> {
    Ok(match (state, byte) {
        (State::Size { digits: 1.., size }, b'\r') | (State::Extension { size, .. }, b'\r') => {
            State::SizeLf { size }
        }
        (State::Size { digits: 1.., size }, b';') => State::Extension { bytes: 0, size },
        (State::Size { digits, size }, _) => {
            let digit = char::from(byte).to_digit(16).ok_or(BadChunk("a chunk size is not hexadecimal"))?;
            if digits == MAX_SIZE_DIGITS {
                return Err(BadChunk("a chunk size is too large"));
            }
            State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
        }
        (State::Extension { bytes, size }, _) => {
            if byte != b'\t' && byte.is_ascii_control() {
                return Err(BadChunk("a chunk extension has a control character"));
            }
            State::Extension {
                bytes: count(bytes, MAX_EXTENSION_BYTES, "a chunk extension is too long")?,
                size,
            }
        }
        (State::SizeLf { size: 0 }, b'\n') => State::LineStart { bytes: 0 },
        (State::SizeLf { size }, b'\n') => State::Data { left: size },
        (State::DataCr, b'\r') => State::DataLf,
        (State::DataLf, b'\n') => State::Size { digits: 0, size: 0 },
        (State::LineStart { .. }, b'\r') => State::EndLf,
        (State::LineStart { bytes }, _) if is_token(byte) => State::Name { bytes: count_trailer(bytes)? },
        (State::Name { bytes }, b':') => State::Value { bytes },
        (State::Name { bytes }, _) if is_token(byte) => State::Name { bytes: count_trailer(bytes)? },
        (State::Value { bytes }, b'\r') => State::ValueLf { bytes },
        (State::Value { bytes }, _) if byte == b'\t' || !byte.is_ascii_control() => {
            State::Value { bytes: count_trailer(bytes)? }
        }
        (State::ValueLf { bytes }, b'\n') => State::LineStart { bytes },
        (State::EndLf, b'\n') => State::Complete,
        (State::SizeLf { .. } | State::DataCr | State::DataLf | State::ValueLf { .. } | State::EndLf, _) => {
            return Err(BadChunk("a line among the chunks does not end in CRLF"));
        }
        _ => return Err(BadChunk("a trailer field is malformed")),
    })
}

fn count(bytes: u16, most: u16, problem: &'static str) -> Result<u16, BadChunk> {
    if bytes < most { Ok(bytes + 1) } else { Err(BadChunk(problem)) }
}

fn count_trailer(bytes: u16) -> Result<u16, BadChunk> {
    count(bytes, MAX_TRAILER_BYTES, "the trailer section is too long")
}

fn is_token(byte: u8) -> bool {
    TOKEN_BYTES[usize::from(byte)]
}
