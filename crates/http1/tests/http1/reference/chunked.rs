//! Chunked bodies (RFC 9112 §7.1).

use super::outgoing::{ACTED_ON, looks_alike};
use super::{Note, field_line, is_text, is_token};

/// How far a chunked body goes.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// How long it is; None: it does not end here.
    pub(crate) length: Option<usize>,
    pub(crate) content: Vec<u8>,
    pub(crate) notes: Vec<Note>,
}

/// Reads a chunked body line by line, as far as whole lines go or to the first that is refused.
pub(crate) fn read(bytes: &[u8]) -> Chunks {
    let mut chunks = Chunks { length: None, content: Vec::new(), notes: Vec::new() };
    let mut at = 0;
    loop {
        let Some(line) = line_at(bytes, at) else { return chunks };
        at += line.len() + 2;
        let size = size_line(line, &mut chunks.notes);
        if !super::tolerated(&chunks.notes) {
            return chunks;
        }
        if size == 0 {
            break;
        }
        let left = &bytes[at..];
        let data = &left[..usize::try_from(size).map_or(left.len(), |size| size.min(left.len()))];
        chunks.content.extend_from_slice(data);
        at += data.len();
        match &bytes[at..] {
            [b'\r', b'\n', ..] if data.len() as u64 == size => at += 2,
            [] | [b'\r'] => return chunks,
            _ => {
                chunks.notes.push(Note::Chunk);
                return chunks;
            }
        }
    }
    read_trailers(bytes, at, &mut chunks);
    chunks
}

fn line_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let end = bytes[at..].windows(2).position(|two| two == b"\r\n")?;
    Some(&bytes[at..at + end])
}

/// `chunk-size [ chunk-ext ]`.
fn size_line(line: &[u8], notes: &mut Vec<Note>) -> u64 {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (size, rest) = line.split_at(digits);
    if size.is_empty() {
        notes.push(Note::Chunk);
    }
    if size.len() > 15 {
        notes.push(Note::LongSize);
    }
    match rest {
        [] => {}
        [b';', text @ ..] if is_text(text) => {
            if !are_extensions(rest) {
                notes.push(Note::Extension);
            }
            if text.len() > 256 {
                notes.push(Note::LongExtension);
            }
        }
        [b' ' | b'\t', ..] if are_extensions(rest) => notes.push(Note::SizeSpace),
        _ => notes.push(Note::Chunk),
    }
    u64::from_str_radix(&String::from_utf8_lossy(size), 16).unwrap_or(u64::MAX)
}

/// `chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`.
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let [b';', after @ ..] = trimmed_front(rest) else { return false };
        let after = trimmed_front(after);
        let end = token_end(after);
        if end == 0 {
            return false;
        }
        rest = &after[end..];
        if let [b'=', value @ ..] = trimmed_front(rest) {
            let value = trimmed_front(value);
            let Some(end) = value_end(value) else { return false };
            rest = &value[end..];
        }
    }
    true
}

fn trimmed_front(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len() - bytes.iter().skip_while(|byte| matches!(byte, b' ' | b'\t')).count()..]
}

fn token_end(bytes: &[u8]) -> usize {
    (0..=bytes.len()).rev().find(|end| is_token(&bytes[..*end])).unwrap_or(0)
}

/// `token / quoted-string`.
fn value_end(bytes: &[u8]) -> Option<usize> {
    let [b'"', quoted @ ..] = bytes else { return Some(token_end(bytes)).filter(|end| *end > 0) };
    let mut escaped = false;
    for (index, byte) in quoted.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(index + 2),
            _ => {}
        }
    }
    None
}

/// `trailer-section CRLF`.
fn read_trailers(bytes: &[u8], mut at: usize, chunks: &mut Chunks) {
    let mut most = 16 * 1024;
    while let Some(line) = line_at(bytes, at) {
        at += line.len() + 2;
        if line.is_empty() {
            chunks.length = Some(at);
            return;
        }
        let Some((name, _)) = field_line(line, &mut chunks.notes) else { return };
        // All but the colon counts.
        match line.len().checked_sub(1).and_then(|length| usize::checked_sub(most, length)) {
            Some(left) => most = left,
            None => chunks.notes.push(Note::LongTrailers),
        }
        let harmless = matches!(name.as_str(), "accept" | "x-request-id" | "traceparent");
        if (ACTED_ON.contains(&name.as_str()) && !harmless) || looks_alike(&name) {
            chunks.notes.push(Note::ForbiddenTrailer);
        }
        if !super::tolerated(&chunks.notes) {
            return;
        }
    }
}
