//! The form in which paths are compared.

use std::borrow::Cow;

/// The path that a server by the book would take this one for: what routes are matched with. What is sent on is
/// the path as it came, unless its route changes the front of it.
///
/// Percent-encoded letters, digits and `-._~` are decoded (RFC 3986 §6.2.2.2); other encodings stay, with upper-case
/// digits (§6.2.2.1), and a `%` that begins no encoding stays as it is. Runs of slashes count as one; then dot
/// segments are removed (§5.2.4), never above the root. So `/a/%2e%2E//b` is `/b`, and takes the rule for `/b`.
///
/// Some servers read more into a path, such as a slash into `%2F`: a request's path goes through
/// [`read_path`](crate::read_path), which refuses those that would lead elsewhere there.
///
/// It begins with `/`; only the `*` of `OPTIONS *` stays what it is. A path that is in this form comes back as it is,
/// without allocation; that of nothing but plain segments after one quick look at each byte. What comes back never
/// changes if it is asked for again.
#[inline]
pub fn normal_path(path: &[u8]) -> Cow<'_, [u8]> {
    if is_plain(path) { Cow::Borrowed(path) } else { less_plain(path) }
}

/// Whether a quick look shows that there is nothing to do, and nothing that anybody could read otherwise.
#[inline]
pub(crate) fn is_plain(path: &[u8]) -> bool {
    // Without a branch per byte, so that many bytes are looked at at once.
    let suspect = |pair: &[u8]| {
        (pair[0] == b'/') & matches!(pair[1], b'/' | b'.') | (pair[1] == b'%') | (pair[1] == b'\\')
    };
    path.first() == Some(&b'/') && !path.windows(2).fold(false, |found, pair| found | suspect(pair))
}

#[cold]
fn less_plain(path: &[u8]) -> Cow<'_, [u8]> {
    match path {
        b"*" => Cow::Borrowed(path),
        b"" => Cow::Borrowed(b"/"),
        [b'/', ..] if is_normal(path) => Cow::Borrowed(path),
        _ => Cow::Owned(without_dot_segments(&decode_unreserved(path))),
    }
}

/// Whether there is surely nothing to do.
fn is_normal(path: &[u8]) -> bool {
    path.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => match path.get(at + 1..at + 3).and_then(encoded) {
            Some(byte) => !is_unreserved(byte) && !path[at + 1..at + 3].iter().any(u8::is_ascii_lowercase),
            None => true,
        },
        b'/' => {
            let rest = &path[at + 1..];
            let segment = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
            !matches!(segment, b"." | b"..") && !rest.starts_with(b"/")
        }
        _ => true,
    })
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// What these two hexadecimal digits stand for.
pub(crate) fn encoded(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(value(*high)? << 4 | value(*low)?)
}

/// The path with its percent-encodings in normal form, and nothing else changed.
pub(crate) fn decode_unreserved(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, after @ ..] = rest {
        let byte = if *first == b'%' { after.get(..2).and_then(encoded) } else { None };
        rest = after;
        let Some(byte) = byte else {
            decoded.push(*first);
            continue;
        };
        if is_unreserved(byte) && !completes_encoding(&decoded, byte) {
            decoded.push(byte);
        } else {
            decoded.push(b'%');
            decoded.extend(after[..2].iter().map(u8::to_ascii_uppercase));
        }
        rest = &after[2..];
    }
    decoded
}

/// Whether this byte could make an encoding of a `%` in front of it that began none: `%%32e` must not become `%2e`,
/// which the next reader would decode again.
fn completes_encoding(before: &[u8], byte: u8) -> bool {
    byte.is_ascii_hexdigit()
        && match before {
            [.., b'%'] => true,
            // A `%` that does begin an encoding is three bytes back.
            [.., b'%', digit] => digit.is_ascii_hexdigit(),
            _ => false,
        }
}

fn without_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(path.len() + 1);
    let mut segments = path.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"" | b"." => {}
            b".." => normal.truncate(normal.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            _ => {
                normal.push(b'/');
                normal.extend_from_slice(segment);
                continue;
            }
        }
        // What ends with a slash, or with a dot segment, names what is below.
        if is_last {
            normal.push(b'/');
        }
    }
    normal
}
