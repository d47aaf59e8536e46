//! Chunked bodies and bodies by length, byte by byte.

use berth_http1::{BadChunk, Body, BodyLength, Chunked};

use crate::laws;

/// How much of it is the body's, and the content, if it was given in pieces of this size.
fn read(bytes: &[u8], piece: usize) -> Result<(usize, Vec<u8>, bool), BadChunk> {
    let (mut chunks, mut taken, mut content) = (Chunked::default(), 0, Vec::new());
    for bytes in bytes.chunks(piece) {
        let count = chunks.advance(bytes, |range| content.extend_from_slice(&bytes[range]))?;
        taken += count;
        if count < bytes.len() {
            break;
        }
    }
    Ok((taken, content, chunks.is_complete()))
}

/// All splits must agree: the whole, byte by byte, and something between.
fn whole(bytes: &[u8]) -> Result<(usize, Vec<u8>, bool), BadChunk> {
    laws::chunked::holds(bytes);
    let outcome = read(bytes, bytes.len().max(1));
    for piece in [1, 2, 3, 7] {
        assert_eq!(read(bytes, piece), outcome, "in pieces of {piece}: {}", bytes.escape_ascii());
    }
    outcome
}

#[test]
fn accepted() {
    let cases: &[(&str, &str)] = &[
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
        ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("A\r\n0123456789\r\n00\r\n\r\n", "0123456789"),
        ("000000000000005\r\nhello\r\n000000000000000\r\n\r\n", "hello"),
        ("5;name\r\nhello\r\n0;a=b;c=\"d e\"\r\n\r\n", "hello"),
        ("5;\t \r\nhello\r\n0;\r\n\r\n", "hello"),
        // Data may look like anything.
        ("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n"),
        ("1\r\n\n\r\n0\r\n\r\n", "\n"),
        ("0\r\nA: b\r\n\r\n", ""),
        ("0\r\nA:\r\nX-Sum: \t1 2\u{e4}\r\n\r\n", ""),
        ("5\r\nhello\r\n0;x\r\nA:b\r\nC: d\r\n\r\n", "hello"),
    ];
    for (bytes, content) in cases {
        let expected = (bytes.len(), content.as_bytes().to_vec(), true);
        assert_eq!(whole(bytes.as_bytes()), Ok(expected.clone()), "{bytes:?}");
        // What follows is not the body's, whatever it is.
        for next in ["GET / HTTP/1.1\r\n", "\r\n", "0\r\n\r\n", "\0"] {
            assert_eq!(whole(format!("{bytes}{next}").as_bytes()), Ok(expected.clone()), "{bytes:?}{next:?}");
        }
        for end in 0..bytes.len() {
            let (taken, _, complete) = whole(&bytes.as_bytes()[..end]).unwrap();
            assert_eq!((taken, complete), (end, false), "{:?}", &bytes[..end]);
        }
    }
}

#[test]
fn refused() {
    let cases = [
        // Sizes.
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x5\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\t\r\nhello\r\n",
        "5 ;a\r\nhello\r\n",
        ";a\r\n",
        "5,\r\nhello\r\n",
        "1_0\r\n",
        "\u{0665}\r\n",
        "1000000000000000\r\n",
        "ffffffffffffffff\r\n",
        "10000000000000005\r\nhello\r\n",
        "0000000000000005\r\nhello\r\n",
        // Line ends.
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\rhello\r\n",
        "5\r\r\nhello\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "4\r\nhello\r\n0\r\n\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\n\r\r\n",
        // Extensions.
        "5;\0\r\nhello\r\n",
        "5;\x7f\r\nhello\r\n",
        "5;\x1b\r\nhello\r\n",
        // Trailers.
        "0\r\nA: b\n\r\n",
        "0\r\nA: b\rC: d\r\n\r\n",
        "0\r\nA: \0\r\n\r\n",
        "0\r\nA: \x7f\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\r\n A: b\r\n\r\n",
        "0\r\nA: b\r\n c\r\n\r\n",
        "0\r\nA\r\n\r\n",
        "0\r\n: b\r\n\r\n",
        "0\r\nGET / HTTP/1.1\r\n\r\n",
        "0\r\n\u{e4}: b\r\n\r\n",
    ];
    for bytes in cases {
        assert!(whole(bytes.as_bytes()).is_err(), "{bytes:?}");
    }
}

#[test]
fn the_largest_size() {
    let mut chunks = Chunked::default();
    assert_eq!(chunks.advance(b"fffffffffffffff\r\nabc", |_| {}), Ok(20));
    assert!(!chunks.is_complete());
}

#[test]
fn extensions_and_trailers_have_limits() {
    let extension = |length: usize| format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(length));
    assert!(whole(extension(256).as_bytes()).is_ok());
    assert!(whole(extension(257).as_bytes()).is_err());
    let trailer = |length: usize| format!("0\r\nA:{}\r\n\r\n", "x".repeat(length - 1));
    assert!(whole(trailer(16 * 1024).as_bytes()).is_ok());
    assert!(whole(trailer(16 * 1024 + 1).as_bytes()).is_err());
    // The trailer section as a whole, not each line.
    let lines = |count: usize| format!("0\r\n{}\r\n", "Ab:cd\r\n".repeat(count));
    assert!(whole(lines(4096).as_bytes()).is_ok());
    assert!(whole(lines(4097).as_bytes()).is_err());
}

#[test]
fn a_body_by_its_length() {
    let mut body = Body::of(BodyLength::Exactly(5));
    assert!(!body.is_complete());
    assert_eq!(body.advance(b"abc"), Ok(3));
    assert_eq!(body.advance(b""), Ok(0));
    assert!(!body.is_complete());
    assert_eq!(body.advance(b"defg"), Ok(2));
    assert!(body.is_complete());
    assert_eq!(body.advance(b"hij"), Ok(0));
    assert!(Body::of(BodyLength::Exactly(0)).is_complete());
    let mut huge = Body::of(BodyLength::Exactly(u64::MAX));
    assert_eq!(huge.advance(b"abc"), Ok(3));
}

#[test]
fn a_body_until_close_never_knows_its_end() {
    let mut body = Body::of(BodyLength::UntilClose);
    assert_eq!(body.advance(b"abc"), Ok(3));
    assert!(!body.is_complete());
}

#[test]
fn a_body_of_chunks() {
    let mut body = Body::of(BodyLength::Chunked);
    assert_eq!(body.advance(b"1\r\na\r\n0\r\n\r\nGET"), Ok(11));
    assert!(body.is_complete());
    assert_eq!(body.advance(b"more"), Ok(0));
}

#[test]
fn content_may_be_passed_over_unseen() {
    let mut body = Body::of(BodyLength::Chunked);
    assert_eq!(body.unseen(), 0);
    assert_eq!(body.advance(b"5\r"), Ok(2));
    assert_eq!(body.unseen(), 0);
    assert_eq!(body.advance(b"\nh"), Ok(2));
    assert_eq!(body.unseen(), 4);
    body.pass(3);
    assert_eq!(body.unseen(), 1);
    body.pass(0);
    assert_eq!(body.unseen(), 1);
    body.pass(1);
    assert_eq!(body.unseen(), 0);
    // Nothing but content is passed over.
    body.pass(1);
    assert_eq!(body.advance(b"\r\n0\r\n\r\nGET"), Ok(7));
    assert!(body.is_complete());
    assert_eq!(body.unseen(), 0);
}

#[test]
fn a_body_by_its_length_may_be_passed_over_unseen() {
    let mut body = Body::of(BodyLength::Exactly(5));
    assert_eq!(body.unseen(), 5);
    body.pass(3);
    assert_eq!((body.unseen(), body.is_complete()), (2, false));
    assert_eq!(body.advance(b"abc"), Ok(2));
    assert_eq!((body.unseen(), body.is_complete()), (0, true));
    let mut huge = Body::of(BodyLength::Exactly(u64::MAX));
    huge.pass(u64::MAX - 1);
    assert_eq!((huge.unseen(), huge.is_complete()), (1, false));
    huge.pass(1);
    assert!(huge.is_complete());
    let mut endless = Body::of(BodyLength::UntilClose);
    endless.pass(u64::MAX);
    assert_eq!((endless.unseen(), endless.is_complete()), (u64::MAX, false));
}
