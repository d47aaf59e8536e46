//! Paths that lead elsewhere for one reader than for another.

use std::borrow::Cow;

use crate::normal::{encoded, is_plain, normal_path};

/// A path whose meaning depends on who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// A request's path in its normal form ([`normal_path`]), unless its dot segments lead elsewhere for some servers.
///
/// All agree on `/a/../b`. But some take `%2F`, `\` and `%5C` for a slash, some cut `;` and what follows it off a
/// segment, some keep empty segments: to these `/a/..%2Fb`, `/a/..;/b` and `/c%2Fa/../b` are not what they are to
/// others, and `/c/a//../b` is `/c/a/b`. Without dot segments in any of these readings a path is never ambiguous:
/// `/a%2Fb` is one segment here, whatever the upstream makes of it.
///
/// A path of nothing but plain segments costs one quick look at each byte.
///
/// # Errors
/// The path can be read in several ways.
#[inline]
pub fn read_path(path: &[u8]) -> Result<Cow<'_, [u8]>, Ambiguous> {
    if is_plain(path) { Ok(Cow::Borrowed(path)) } else { read_less_plain(path) }
}

#[cold]
fn read_less_plain(path: &[u8]) -> Result<Cow<'_, [u8]>, Ambiguous> {
    if is_ambiguous(path) { Err(Ambiguous) } else { Ok(normal_path(path)) }
}

fn is_ambiguous(path: &[u8]) -> bool {
    let mut before = b'/';
    // Nothing is copied as long as no segment begins with a dot.
    let mut begins_with_dot = |byte| {
        let before = std::mem::replace(&mut before, byte);
        byte == b'.' && matches!(before, b'/' | b'\\')
    };
    lenient(path).any(&mut begins_with_dot) && depends_on_reader(&lenient(path).collect::<Vec<_>>())
}

/// The path's bytes with each encoded dot and semicolon decoded, and `\` for whatever is a slash to some only.
fn lenient(mut path: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (first, rest) = path.split_first()?;
        let byte = if *first == b'%' { rest.get(..2).and_then(encoded) } else { None };
        let byte = byte.filter(|byte| b"./\\;".contains(byte));
        path = if byte.is_some() { &rest[2..] } else { rest };
        Some(if byte == Some(b'/') { b'\\' } else { byte.unwrap_or(*first) })
    })
}

/// Walks down the segments of a lenient path as everybody does who resolves them.
fn depends_on_reader(path: &[u8]) -> bool {
    // Where the walk is: for each segment, whether all readers go back over it, and nothing else, with one `..`.
    let mut walked: Vec<bool> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"." => {}
            b".." => {
                if walked.pop() == Some(false) {
                    return true;
                }
            }
            // Some go back over it first.
            b"" => {
                if let Some(sure) = walked.last_mut() {
                    *sure = false;
                }
            }
            _ if segment.split(|byte| *byte == b'\\').any(is_dots) => return true,
            _ => walked.push(!segment.contains(&b'\\')),
        }
    }
    false
}

/// Whether this is a dot segment for those who cut off what follows a semicolon.
fn is_dots(piece: &[u8]) -> bool {
    matches!(piece.split(|byte| *byte == b';').next(), Some(b"." | b".."))
}
