//! Answer heads.

use super::request::protocols;
use super::{Field, Framing, Note, framing, is_text, persistent, values};

/// What an answer head says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line behind the version.
    pub(crate) rest: Vec<u8>,
    pub(crate) http10: bool,
    pub(crate) fields: Vec<Field>,
    pub(crate) framing: Framing,
    /// What `Connection` says; a body that ends with the connection says otherwise.
    pub(crate) persistent: bool,
    pub(crate) length: usize,
    pub(crate) notes: Vec<Note>,
}

impl Answer {
    /// Answers that never have a body nor fields that announce one (RFC 9110 §8.6).
    pub(crate) fn is_bodiless(&self) -> bool {
        (100..200).contains(&self.status) || self.status == 204
    }

    /// The value of `Upgrade` in a 101 or 426, if it is the only one and names protocols and not just h2c.
    pub(crate) fn upgrade(&self) -> Option<&[u8]> {
        let lines = values(&self.fields, "upgrade");
        let is_about_it = matches!(self.status, 101 | 426) && lines.len() == 1;
        lines.into_iter().next().filter(|value| is_about_it && protocols(value).is_some())
    }
}

/// Reads the head at the front. None: it has no end.
pub(crate) fn read(bytes: &[u8]) -> Option<Answer> {
    let mut notes = Vec::new();
    let head = super::head(bytes, &mut notes)?;
    if head.length > 64 * 1024 {
        notes.push(Note::HeadTooLarge);
    }
    if head.fields.len() > 128 {
        notes.push(Note::TooManyFields);
    }
    let http10 = head.start.starts_with(b"HTTP/1.0 ");
    let status = status_line(head.start, &mut notes);
    let framing = framing(&head.fields, http10, &mut notes);
    let persistent = persistent(&head.fields, http10, &mut notes);
    let rest = head.start.get(8..).unwrap_or_default().to_vec();
    let mut answer =
        Answer { status, rest, http10, fields: head.fields, framing, persistent, length: head.length, notes };
    if answer.is_bodiless() && framing != Framing::None {
        answer.notes.push(Note::FramingWithoutBody);
    }
    Some(answer)
}

/// `status-line = HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112 §4).
fn status_line(line: &[u8], notes: &mut Vec<Note>) -> u16 {
    let (start, reason) = line.split_at(line.len().min(12));
    let version_fits = start.starts_with(b"HTTP/1.1 ") || start.starts_with(b"HTTP/1.0 ");
    if start.len() < 12 || !version_fits || !start[9..].iter().all(u8::is_ascii_digit) {
        notes.push(Note::StartLine);
        return 0;
    }
    match reason {
        [] => notes.push(Note::NoSpaceBehindStatus),
        [b' ', reason @ ..] if is_text(reason) => {}
        _ => notes.push(Note::StartLine),
    }
    let status = start[9..].iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match status {
        0..100 => notes.push(Note::StatusBelow100),
        100..600 => {}
        _ => notes.push(Note::OddStatus),
    }
    status
}
