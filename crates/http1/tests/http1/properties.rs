//! The laws, for bytes of every kind: no panic, the same reading however they are split, and nothing goes out that
//! could be read in two ways.

use berth_http1::{Body, BodyLength, Chunked};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::generate::{answers, chunks, mutated, requests};
use crate::laws::{self, LIMITS, TIGHT};

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

const MANY: u32 = 2000;

proptest! {
    #![proptest_config(ProptestConfig { cases: MANY, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_no_surprise(bytes in vec(any::<u8>(), 0..300)) {
        let head = [b"GET / HTTP/1.1\r\nHost: a\r\n", &bytes[..], b"\r\n\r\n"].concat();
        for bytes in [&bytes, &head] {
            laws::request::holds(bytes, &LIMITS);
            laws::request::holds(bytes, &TIGHT);
            laws::forwarding::holds(bytes);
            laws::answer::holds(bytes, false);
            laws::chunked::holds(bytes);
        }
    }

    #[test]
    fn requests_are_read_in_one_way(head in mutated(requests())) {
        laws::request::holds(&head, &LIMITS);
        laws::request::holds(&head, &TIGHT);
    }

    #[test]
    fn what_goes_upstream_is_what_may_go(head in mutated(requests())) {
        laws::forwarding::holds(&head);
    }

    #[test]
    fn answers_are_read_in_one_way_and_go_on_as_they_may(head in mutated(answers()), to_head in any::<bool>()) {
        laws::answer::holds(&head, to_head);
    }

    #[test]
    fn chunks_are_read_in_one_way(bytes in mutated(chunks(true))) {
        laws::chunked::holds(&bytes);
    }

    #[test]
    fn whole_chunks_are_taken_whole(bytes in chunks(false), ends in vec(any::<Index>(), 0..8)) {
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
