//! What an operator changes in the fields of a message, laid out so that a request costs little.

use std::sync::Arc;

use thiserror::Error;

use crate::fields::{Field, classify};
use crate::lines::{Line, TOKEN_BYTES};

/// Fields that are set or removed on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldEdits {
    /// The names of all of them, in lower case: what came under these does not go on. Shared with the bodies that are
    /// followed for them.
    dropped: Arc<[Box<[u8]>]>,
    /// The lines that are added.
    added: Box<[u8]>,
}

/// Why a field cannot be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadEdit {
    /// The name is none (RFC 9110 §5.1).
    #[error("is no field name")]
    Name,
    /// The value has bytes that no field may have (RFC 9110 §5.5).
    #[error("has a value that no field may have")]
    Value,
    /// The framing of the message, or the connection, hangs on it, or the balancer writes it itself.
    #[error("is the balancer's own affair")]
    Own,
}

impl FieldEdits {
    /// Whether nothing is changed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.dropped.is_empty()
    }

    /// Sets a field: whatever came under this name is replaced.
    ///
    /// # Errors
    /// Such a field cannot be set.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), BadEdit> {
        let is_visible = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if !value.bytes().all(is_visible) || value.trim() != value {
            return Err(BadEdit::Value);
        }
        self.remove(name)?;
        let line = [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat();
        self.added = [&self.added, line.as_slice()].concat().into();
        Ok(())
    }

    /// Removes a field.
    ///
    /// # Errors
    /// Such a field cannot be removed.
    pub fn remove(&mut self, name: &str) -> Result<(), BadEdit> {
        let name = name.to_ascii_lowercase().into_bytes();
        if name.is_empty() || !name.iter().all(|byte| TOKEN_BYTES[usize::from(*byte)]) {
            return Err(BadEdit::Name);
        }
        if !matches!(classify(&name), Field::Other | Field::Accept) || name == b"via" || name == b"trailer" {
            return Err(BadEdit::Own);
        }
        self.dropped = self.dropped.iter().cloned().chain([name.into()]).collect();
        Ok(())
    }

    /// The lines of a request among these that do not go on, a bit for each. Servers that hand fields to programs as
    /// variables (RFC 3875 §4.1.18) take `_` for `-`, so here it is one.
    #[inline]
    pub(crate) fn dropped_from_request(&self, head: &[u8], lines: &[Line]) -> u128 {
        self.dropped(head, lines, is_alike)
    }

    /// The lines of an answer among these that do not go on, a bit for each.
    #[inline]
    pub(crate) fn dropped_from_answer(&self, head: &[u8], lines: &[Line]) -> u128 {
        self.dropped(head, lines, <[u8]>::eq_ignore_ascii_case)
    }

    #[inline]
    fn dropped(&self, head: &[u8], lines: &[Line], is_it: fn(&[u8], &[u8]) -> bool) -> u128 {
        let is_dropped = |line: &Line| {
            let name = line.name(head);
            self.dropped.iter().any(|dropped| is_it(name, dropped))
        };
        let bits = lines.iter().enumerate().map(|(index, line)| u128::from(is_dropped(line)) << index);
        if self.is_empty() { 0 } else { bits.fold(0, |all, bit| all | bit) }
    }

    /// What watches a request's trailers for fields that are edited, if any are: they would pass the edits by.
    pub(crate) fn trailer_watch(&self) -> Option<TrailerWatch> {
        let longest = self.dropped.iter().map(|name| name.len()).max()?;
        // One byte more than any name has tells a longer one.
        let name = vec![0; longest + 1].into();
        Some(TrailerWatch { edited: Arc::clone(&self.dropped), name, name_bytes: 0 })
    }

    /// The lines that are added.
    #[inline]
    pub(crate) fn added(&self) -> &[u8] {
        &self.added
    }
}

/// Follows the names of trailers for those that a route edits.
#[derive(Clone, Debug)]
pub(crate) struct TrailerWatch {
    edited: Arc<[Box<[u8]>]>,
    /// The beginning of the name that is being read, with room for the longest that is edited and one byte.
    name: Box<[u8]>,
    name_bytes: usize,
}

impl TrailerWatch {
    /// Adds a byte of the name.
    pub(crate) fn push(&mut self, byte: u8) {
        if let Some(place) = self.name.get_mut(self.name_bytes) {
            *place = byte;
            self.name_bytes += 1;
        }
    }

    /// Ends the name; tells whether it is one that is edited.
    pub(crate) fn ends_edited(&mut self) -> bool {
        let name = &self.name[..std::mem::take(&mut self.name_bytes)];
        self.edited.iter().any(|edited| is_alike(name, edited))
    }
}

/// Whether two names are the same to those who take `_` for `-`.
fn is_alike(name: &[u8], other: &[u8]) -> bool {
    let same = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == other.len() && name.iter().zip(other).all(|(one, other)| same(*one) == same(*other))
}
