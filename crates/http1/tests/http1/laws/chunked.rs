//! Chunked bodies.

use berth_http1::{BadChunk, Body, BodyLength, Chunked};

use super::shown;
use crate::reference::{chunked::read, tolerated};

/// How much of the bytes is the body's, its content, and whether it is whole.
type Taken = Result<(usize, Vec<u8>, bool), BadChunk>;

fn take(bytes: &[u8], piece: usize) -> Taken {
    let (mut chunks, mut body) = (Chunked::default(), Body::of(BodyLength::Chunked));
    let (mut taken, mut content) = (0, Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        let count = chunks.advance(piece, |range| content.extend_from_slice(&piece[range]));
        assert_eq!(body.advance(piece), count);
        assert_eq!(body.unseen(), chunks.unseen());
        let count = count?;
        taken += count;
        assert!(count == piece.len() || chunks.is_complete());
    }
    assert_eq!(body.is_complete(), chunks.is_complete());
    assert_eq!(chunks.content_bytes(), content.len() as u64);
    Ok((taken, content, chunks.is_complete()))
}

/// The same for somebody who passes over content without a look, in parts of this many bytes.
fn pass(bytes: &[u8], most: usize) -> Taken {
    let mut body = Body::of(BodyLength::Chunked);
    let (mut at, mut content) = (0, Vec::new());
    while at < bytes.len() && !body.is_complete() {
        let left = bytes.len() - at;
        let unseen = usize::try_from(body.unseen()).map_or(left, |unseen| unseen.min(left)).min(most);
        if unseen > 0 {
            body.pass(unseen as u64);
            content.extend_from_slice(&bytes[at..at + unseen]);
            at += unseen;
        } else {
            at += body.advance(&bytes[at..=at])?;
        }
    }
    if let Body::Chunked(chunks) = &body {
        assert_eq!(chunks.content_bytes(), content.len() as u64);
    }
    Ok((at, content, body.is_complete()))
}

/// Chunks are read alike however they arrive, looked at or passed over, and as the reference reads them.
pub(crate) fn holds(bytes: &[u8]) {
    let outcome = take(bytes, bytes.len());
    for piece in [1, 2, 3, 7, 64] {
        assert_eq!(take(bytes, piece), outcome, "in pieces of {piece}: {}", shown(bytes));
    }
    for most in [1, 5, usize::MAX] {
        assert_eq!(pass(bytes, most), outcome, "passing {most}: {}", shown(bytes));
    }
    // In two pieces, cut wherever that may matter.
    for cut in 0..bytes.len().min(128) {
        let (mut chunks, mut content) = (Chunked::default(), Vec::new());
        let mut both = Ok(0);
        for piece in [&bytes[..cut], &bytes[cut..]] {
            let count = chunks.advance(piece, |range| content.extend_from_slice(&piece[range]));
            both = both.and_then(|sum: usize| count.map(|count| sum + count));
            if both.is_err() {
                break;
            }
        }
        let both = both.map(|taken| (taken, content, chunks.is_complete()));
        assert_eq!(both, outcome, "cut at {cut}: {}", shown(bytes));
    }
    agrees(bytes, &outcome);
}

fn agrees(bytes: &[u8], outcome: &Taken) {
    let chunks = read(bytes);
    let shown = shown(bytes);
    match (outcome, chunks.length) {
        (Err(_), None) => {}
        (Err(problem), Some(_)) => {
            assert!(!tolerated(&chunks.notes), "{problem}, but {:?}: {shown}", chunks.notes);
        }
        (Ok((taken, content, complete)), length) => {
            assert!(tolerated(&chunks.notes), "accepted, but {:?}: {shown}", chunks.notes);
            assert_eq!(*complete, length.is_some(), "{shown}");
            assert_eq!(*taken, length.unwrap_or(bytes.len()), "{shown}");
            assert_eq!(content, &chunks.content, "{shown}");
        }
    }
}
