//! What holds for any bytes: no panic, the same reading however they are split, and nothing goes out that could
//! be read in two ways.

use berth_http1::forward::{Downstream, passes_unchanged, write_response};
use berth_http1::{Body, BodyLength, Chunked, Limits, ResponseHead, Version, field_space};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::generate::{answers, chunks, mutated, requests};
use crate::{LIMITS, STRANGER, TRUSTED, forward_bytes, try_parse};

/// A head read in the plainest way: lines that end in CRLF, names before the colon.
fn plain_fields(head: &[u8]) -> Vec<(String, String)> {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let text = text.strip_suffix("\r\n\r\n").unwrap_or_else(|| panic!("{text:?} has no end"));
    let mut lines = text.split("\r\n");
    lines.next().unwrap();
    let fields: Vec<_> = lines
        .map(|line| {
            assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line:?} has no name"));
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            assert!(!name.is_empty() && name.chars().all(token), "{line:?}");
            (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned())
        })
        .collect();
    fields
}

/// Asserts that the head leaves no choice in how to read it.
fn assert_unambiguous(head: &[u8]) {
    let fields = plain_fields(head);
    let all = |name: &str| {
        fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value).collect::<Vec<_>>()
    };
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "{fields:?}");
    assert!(lengths.iter().all(|length| length.bytes().all(|byte| byte.is_ascii_digit())), "{fields:?}");
    assert!(codings.iter().all(|coding| coding.eq_ignore_ascii_case("chunked")), "{fields:?}");
    for one_hop in ["te", "upgrade", "keep-alive", "proxy-connection", "http2-settings"] {
        assert!(all(one_hop).is_empty(), "{fields:?}");
    }
}

fn taken_in_pieces(bytes: &[u8], ends: &[Index]) -> Option<(usize, Vec<u8>, bool)> {
    let mut ends: Vec<usize> =
        ends.iter().map(|end| end.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
    ends.sort_unstable();
    let (mut chunks, mut body) = (Chunked::default(), Body::of(BodyLength::Chunked));
    let (mut taken, mut content) = (0, Vec::new());
    for piece in ends.windows(2).map(|ends| &bytes[ends[0]..ends[1]]) {
        let count = chunks.advance(piece, |range| content.extend_from_slice(&piece[range])).ok()?;
        assert_eq!(body.advance(piece), Ok(count));
        taken += count;
        assert!(count == piece.len() || chunks.is_complete());
    }
    assert_eq!(body.is_complete(), chunks.is_complete());
    Some((taken, content, chunks.is_complete()))
}

fn rewritten(head: &[u8], client: Downstream, to_head: bool) -> Option<(Vec<u8>, BodyLength, bool)> {
    let mut space = field_space();
    let head = ResponseHead::parse(head, &mut space, to_head).ok()??;
    let mut out = Vec::new();
    write_response(&head, client, &mut out);
    Some((out, head.body, passes_unchanged(&head, client)))
}

const MANY: u32 = 2000;

proptest! {
    #![proptest_config(ProptestConfig { cases: MANY, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_no_surprise(bytes in vec(any::<u8>(), 0..300), cut in any::<Index>()) {
        let mut space = field_space();
        let _ = ResponseHead::parse(&bytes, &mut space, false);
        let _ = try_parse(&bytes, &LIMITS);
        let _ = try_parse(&[b"GET / HTTP/1.1\r\nHost: a\r\n", &bytes[..]].concat(), &LIMITS);
        let _ = try_parse(&bytes[..cut.index(bytes.len() + 1)], &Limits { head_bytes: 40, target_bytes: 5, fields: 1 });
        let _ = taken_in_pieces(&bytes, &[cut]);
    }

    /// Whoever parses each time that more has come reads the same as who has it all at once.
    #[test]
    fn a_head_is_read_alike_however_it_arrives(head in mutated(requests()), next in vec(any::<u8>(), 0..20)) {
        let at_once = try_parse(&head, &LIMITS);
        let grown = (0..=head.len()).map(|end| try_parse(&head[..end], &LIMITS)).find(|parsed| *parsed != Ok(None));
        match (&at_once, grown) {
            (Ok(None), None) | (Err(_), Some(Err(_))) => {}
            (Ok(Some(at_once)), Some(Ok(Some(grown)))) => prop_assert_eq!(at_once, &grown),
            other => prop_assert!(false, "{:?}", other),
        }
        if let Ok(Some(pieces)) = at_once {
            let more = [&head[..pieces.consumed], &next[..]].concat();
            prop_assert_eq!(try_parse(&more, &LIMITS), Ok(Some(pieces)));
        }
    }

    /// What is accepted goes out so that it says the same, in one way only, and another balancer behind this one
    /// has nothing left to change.
    #[test]
    fn forwarding_says_the_same(head in mutated(requests())) {
        let Ok(Some(pieces)) = try_parse(&head, &LIMITS) else { return Ok(()) };
        for origin in [STRANGER, TRUSTED] {
            let sent = forward_bytes(&head, &origin);
            assert_unambiguous(&sent);
            let fields = plain_fields(&sent);
            let count = |name: &str| fields.iter().filter(|(known, _)| known == name).count();
            prop_assert_eq!((count("host"), count("x-forwarded-for"), count("connection")), (1, 1, 0));
            prop_assert!(count("x-forwarded-proto") >= 1 && count("x-forwarded-host") >= 1 && count("x-real-ip") >= 1);
            let again = try_parse(&sent, &LIMITS).unwrap().unwrap();
            prop_assert_eq!(&again.method, &pieces.method);
            prop_assert_eq!(&again.target, &pieces.target);
            prop_assert_eq!(again.host.as_deref(), Some(pieces.host.as_deref().unwrap_or(STRANGER.fallback_host)));
            prop_assert_eq!(again.body, pieces.body);
            prop_assert_eq!((again.version, again.consumed), (Version::Http11, sent.len()));
            if !origin.trusted {
                prop_assert_eq!(forward_bytes(&sent, &origin), sent);
            }
        }
    }

    /// Accepted requests are read as the plainest reader would.
    #[test]
    fn framing_is_what_the_fields_say(head in mutated(requests())) {
        let Ok(Some(pieces)) = try_parse(&head, &LIMITS) else { return Ok(()) };
        let head = &head[..pieces.consumed];
        let fields = plain_fields(head.strip_prefix(b"\r\n").unwrap_or(head));
        let value = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let expected = match (value("content-length"), value("transfer-encoding")) {
            (None, None) => BodyLength::Exactly(0),
            (Some(length), None) => BodyLength::Exactly(length.parse().unwrap()),
            (None, Some(_)) => BodyLength::Chunked,
            (Some(_), Some(_)) => return Err(TestCaseError::fail("two framings")),
        };
        prop_assert_eq!(pieces.body, expected);
    }

    #[test]
    fn answers_say_the_same(head in mutated(answers()), to_head in any::<bool>(), keep_alive in any::<bool>()) {
        let client = Downstream { version: Version::Http11, keep_alive };
        let Some((out, body, unchanged)) = rewritten(&head, client, to_head) else { return Ok(()) };
        assert_unambiguous(&out);
        if unchanged {
            prop_assert!(head.starts_with(&out));
        }
        let closes = plain_fields(&out).iter().any(|(name, value)| name == "connection" && value == "close");
        prop_assert_eq!(closes, !keep_alive);
        let (again, same_body, _) = rewritten(&out, client, to_head).unwrap();
        prop_assert_eq!(body, same_body);
        prop_assert_eq!(&again, &out);
        // For an older client as well, who must not hear of chunks.
        let old = Downstream { version: Version::Http10, keep_alive };
        let (out, _, unchanged) = rewritten(&out, old, to_head).unwrap();
        assert_unambiguous(&out);
        prop_assert!(!unchanged && !plain_fields(&out).iter().any(|(name, _)| name == "transfer-encoding"));
    }

    #[test]
    fn chunks_are_read_alike_however_they_arrive(bytes in mutated(chunks()), ends in vec(any::<Index>(), 0..8)) {
        prop_assert_eq!(taken_in_pieces(&bytes, &ends), taken_in_pieces(&bytes, &[]));
    }

    #[test]
    fn whole_chunks_are_taken_whole(bytes in chunks(), ends in vec(any::<Index>(), 0..8)) {
        let (taken, _, complete) = taken_in_pieces(&bytes, &ends).unwrap();
        prop_assert!(complete);
        prop_assert_eq!(&bytes[taken..], b"GET / HTTP/1.1\r\n");
    }

    #[test]
    fn a_length_is_kept_however_it_arrives(length in 0_u64..200, pieces in vec(0_usize..60, 0..10)) {
        let mut body = Body::of(BodyLength::Exactly(length));
        let mut taken = 0;
        for piece in pieces {
            let count = body.advance(&vec![0; piece]).unwrap() as u64;
            prop_assert_eq!(count, (piece as u64).min(length - taken));
            taken += count;
            prop_assert_eq!(body.is_complete(), taken == length);
        }
    }
}
