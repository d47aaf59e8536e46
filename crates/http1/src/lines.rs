//! Field lines, read in place: where each lies, and what it is to a proxy.
//!
//! The reading goes from left to right and looks at nothing twice, so the first byte that is wrong decides,
//! however the bytes were split over reads.

use crate::fields::{Field, classify};

/// The most field lines that a head may have. A head's dropped lines are the bits of a `u128`.
pub const MAX_FIELDS: usize = 128;

/// Where a field line lies in its head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    start: u32,
    name_end: u32,
    value_start: u32,
    value_end: u32,
    pub(crate) field: Field,
}

impl Line {
    const NONE: Line = Line { start: 0, name_end: 0, value_start: 0, value_end: 0, field: Field::Other };

    /// Where the line begins.
    #[inline]
    pub(crate) fn start(&self) -> usize {
        self.start as usize
    }

    /// The name, as it came.
    #[inline]
    pub(crate) fn name<'b>(&self, head: &'b [u8]) -> &'b [u8] {
        &head[self.start as usize..self.name_end as usize]
    }

    /// The value without white space around it.
    #[inline]
    pub(crate) fn value<'b>(&self, head: &'b [u8]) -> &'b [u8] {
        &head[self.value_start as usize..self.value_end as usize]
    }
}

/// Room for the field lines of one head; it is used for head after head.
#[derive(Debug)]
pub struct Lines {
    room: [Line; MAX_FIELDS],
}

impl Default for Lines {
    fn default() -> Self {
        Self { room: [Line::NONE; MAX_FIELDS] }
    }
}

impl Lines {
    /// Room for so many lines, [`MAX_FIELDS`] at most.
    pub(crate) fn room(&mut self, most: usize) -> &mut [Line] {
        &mut self.room[..most.min(MAX_FIELDS)]
    }
}

/// Why the reading of a head stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// All bytes were read; the next ones decide.
    Partial,
    /// A byte is not allowed where it is.
    Bad(&'static str),
    /// Another field line begins, and there is no room for it.
    TooManyFields,
}

/// `tchar` of RFC 9110 §5.6.2.
pub(crate) const TOKEN_BYTES: [bool; 256] = letters_digits_and(b"!#$%&'*+-.^_`|~");

/// Which bytes are ASCII letters, digits, or among these.
pub(crate) const fn letters_digits_and(marks: &[u8]) -> [bool; 256] {
    let mut allowed = [false; 256];
    let mut index = 0;
    while index < 256 {
        allowed[index] = (index as u8).is_ascii_alphanumeric();
        index += 1;
    }
    let mut index = 0;
    while index < marks.len() {
        allowed[marks[index] as usize] = true;
        index += 1;
    }
    allowed
}

/// Where, from `at` on, the first byte is that is not among these; the end if there is none.
#[inline]
pub(crate) fn skip(bytes: &[u8], at: usize, among: &[bool; 256]) -> usize {
    let rest = &bytes[at..];
    at + rest.iter().position(|byte| !among[usize::from(*byte)]).unwrap_or(rest.len())
}

/// Where, from `at` on, a field name ends: letters and hyphens eight at a time, anything else one by one.
#[inline]
fn skip_name(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes[at..].first_chunk::<8>() {
        let others = not_letters(u64::from_le_bytes(*eight));
        if others == 0 {
            at += 8;
            continue;
        }
        at += others.trailing_zeros() as usize / 8;
        if !TOKEN_BYTES[usize::from(bytes[at])] {
            return at;
        }
        at += 1;
    }
    skip(bytes, at, &TOKEN_BYTES)
}

/// The high bit of every byte that is neither a letter nor a hyphen is set.
#[inline]
fn not_letters(eight: u64) -> u64 {
    let low = eight & !HIGH;
    let lower = low | (ONES * 0x20);
    let from_a = lower + ONES * u64::from(0x80 - b'a');
    let beyond_z = lower + ONES * u64::from(0x7F - b'z');
    let hyphen = !((low ^ (ONES * u64::from(b'-'))) + ONES * 0x7F);
    !((from_a & !beyond_z | hyphen) & !eight) & HIGH
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = u64::from_le_bytes([0x80; 8]);

/// Where, from `at` on, a text of visible characters, spaces, tabs and obs-text (RFC 9110 §5.5) ends: the first
/// other control character, or the end.
#[inline]
pub(crate) fn skip_text(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes[at..].first_chunk::<8>() {
        let controls = controls(u64::from_le_bytes(*eight));
        if controls == 0 {
            at += 8;
            continue;
        }
        at += controls.trailing_zeros() as usize / 8;
        if bytes[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(|byte| byte.is_ascii_control() && *byte != b'\t').unwrap_or(rest.len())
}

/// The high bit of the lowest byte that is a control character is set; those above it mean nothing.
#[inline]
fn controls(eight: u64) -> u64 {
    let below_space = eight.wrapping_sub(ONES * 0x20) & !eight;
    let without_delete = eight ^ (ONES * 0x7F);
    let delete = without_delete.wrapping_sub(ONES) & !without_delete;
    (below_space | delete) & HIGH
}

/// Passes over the CRLF that must be at `at`.
#[inline]
pub(crate) fn skip_crlf(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    match bytes[at..] {
        [b'\r', b'\n', ..] => Ok(at + 2),
        [] | [b'\r'] => Err(Stop::Partial),
        [b'\r' | b'\n', ..] => Err(Stop::Bad("a line of the head does not end in CRLF")),
        _ => Err(Stop::Bad("a line of the head has a character that is not allowed")),
    }
}

/// Reads the field lines from `at` to the empty line behind them (RFC 9112 §5). Tells how many there are and
/// where the head ends.
#[inline]
pub(crate) fn read_lines(bytes: &[u8], mut at: usize, room: &mut [Line]) -> Result<(usize, usize), Stop> {
    let mut count = 0;
    loop {
        if bytes.get(at) == Some(&b'\r') {
            return Ok((count, skip_crlf(bytes, at)?));
        }
        let name_end = skip_name(bytes, at);
        match bytes.get(name_end) {
            Some(b':') if name_end > at => {}
            Some(b' ' | b'\t') if name_end == at => return Err(Stop::Bad("a field line is folded")),
            Some(_) => return Err(Stop::Bad("a field name is malformed")),
            None => return Err(Stop::Partial),
        }
        let Some(line) = room.get_mut(count) else { return Err(Stop::TooManyFields) };
        let mut value_start = name_end + 1;
        while let Some(b' ' | b'\t') = bytes.get(value_start) {
            value_start += 1;
        }
        let end = skip_text(bytes, value_start);
        let next = skip_crlf(bytes, end)?;
        let mut value_end = end;
        while value_end > value_start && matches!(bytes[value_end - 1], b' ' | b'\t') {
            value_end -= 1;
        }
        // A head is never longer than a u32 can count: `Limits::window` sees to that.
        *line = Line {
            start: at as u32,
            name_end: name_end as u32,
            value_start: value_start as u32,
            value_end: value_end as u32,
            field: classify(&bytes[at..name_end]),
        };
        count += 1;
        at = next;
    }
}
