//! Trailers: what frames or routes comes too late, and another reader might still heed it.

use berth_http1::{BadChunk, Chunked, FieldEdits};

use crate::laws;

const FORBIDDEN: [&str; 16] = [
    "Content-Length",
    "Transfer-Encoding",
    "Host",
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Upgrade",
    "HTTP2-Settings",
    "Expect",
    "Max-Forwards",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Real-IP",
    "Forwarded",
];

const LATE: BadChunk = BadChunk("a trailer has a name that only a head may have");

/// What becomes of the bytes in two pieces, for every cut the same.
fn read(bytes: &[u8]) -> Result<usize, BadChunk> {
    laws::chunked::holds(bytes);
    read_edited(bytes, &FieldEdits::default())
}

/// The same on a route with edits.
fn read_edited(bytes: &[u8], edits: &FieldEdits) -> Result<usize, BadChunk> {
    let whole = Chunked::edited(edits).advance(bytes, |_| {});
    for cut in 0..=bytes.len() {
        let mut chunks = Chunked::edited(edits);
        let first = chunks.advance(&bytes[..cut], |_| {});
        let both = first.and_then(|first| Ok(first + chunks.advance(&bytes[cut..], |_| {})?));
        assert_eq!(both, whole, "cut at {cut}: {}", bytes.escape_ascii());
    }
    whole
}

fn body(lines: &str) -> Vec<u8> {
    format!("1\r\na\r\n0\r\n{lines}\r\n").into_bytes()
}

#[test]
fn what_frames_or_routes_is_refused() {
    let late = Err(LATE);
    for name in FORBIDDEN {
        let mut spellings = vec![name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()];
        if name.contains('-') {
            spellings.extend([name.replace('-', "_"), name.replacen('-', "_", 1).to_ascii_lowercase()]);
        }
        for name in spellings {
            for lines in
                [format!("{name}: 5\r\n"), format!("A: b\r\nX-Long-Name-Of-A-Trailer: c\r\n{name}:\r\n")]
            {
                assert_eq!(read(&body(&lines)), late, "{lines:?}");
            }
        }
    }
    assert_eq!(read(&body("X_Request_Id: 5\r\n")), late);
}

#[test]
fn others_pass() {
    for name in FORBIDDEN {
        for name in [format!("{name}s"), format!("X-{name}"), name[1..].to_owned(), name.replace('-', ".")] {
            if !FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(&name)) {
                let bytes = body(&format!("{name}: 5\r\n"));
                assert_eq!(read(&bytes), Ok(bytes.len()), "{name}");
            }
        }
    }
    for name in
        ["Digest", "Server-Timing", "grpc-status", "Accept", "X-Request-Id", "traceparent", "Content_Type"]
    {
        let bytes = body(&format!("{name}: 5\r\nA: Content-Length: 5\r\n"));
        assert_eq!(read(&bytes), Ok(bytes.len()), "{name}");
    }
    // Names of any length, of which a forbidden one may be the beginning or the end.
    for length in [18, 19, 254, 255, 256, 257, 270, 273, 1000] {
        for part in ["Content-Length", "X-Forwarded-Proto", "Transfer-Encoding", ""] {
            for name in [format!("{part:x<length$}"), format!("{part:x>length$}")] {
                let bytes = body(&format!("{name}: 5\r\nHos: t\r\n"));
                assert_eq!(read(&bytes), Ok(bytes.len()), "{name}");
            }
        }
    }
}

#[test]
fn no_trailer_passes_the_edits_by() {
    let mut edits = FieldEdits::default();
    edits.set("X-Role", "guest").unwrap();
    edits.remove("X-User").unwrap();
    edits.remove("X-A-Name-Longer-Than-All-That-Are-Known").unwrap();
    for name in ["X-Role", "x-user", "X_USER", "x-a-name-longer_than-all-that-are-known", "Content-Length"] {
        for before in ["", "A: b\r\n", "X-Users: b\r\nX-A-Name-Longer-Than-All-That-Are-Known-: c\r\n"] {
            assert_eq!(
                read_edited(&body(&format!("{before}{name}: 1\r\n")), &edits),
                Err(LATE),
                "{before}{name}"
            );
        }
    }
    for name in ["X-Users", "X-Use", "-User", "X.User", "X-Role-", "X-A-Name-Longer-Than-All-That-Are-Know"] {
        let bytes = body(&format!("{name}: X-User: 1\r\nDigest: X-Role\r\n"));
        assert_eq!(read_edited(&bytes, &edits), Ok(bytes.len()), "{name}");
    }
    // Without edits these are trailers like others.
    let bytes = body("X-User: admin\r\n");
    assert_eq!(read(&bytes), Ok(bytes.len()));
}
