//! The parser of event streams.

use berth_client::{Event, EventParser, TooLarge};
use proptest::prelude::*;

fn read(chunks: &[&[u8]]) -> Vec<Event> {
    let mut parser = EventParser::new();
    let mut events = Vec::new();
    for chunk in chunks {
        parser.feed(chunk, |event| events.push(event)).expect("small events");
    }
    events
}

fn event(name: &str, id: Option<&str>, data: &str) -> Event {
    Event { name: name.to_owned(), id: id.map(str::to_owned), data: data.as_bytes().to_vec() }
}

#[test]
fn cases_of_the_standard() {
    let cases: [(&str, Vec<Event>); 14] = [
        ("data: a\n\n", vec![event("message", None, "a")]),
        ("event: tick\nid: 7\ndata: {}\n\n", vec![event("tick", Some("7"), "{}")]),
        ("data: YHOO\ndata: +2\ndata: 10\n\n", vec![event("message", None, "YHOO\n+2\n10")]),
        // Only one space is taken away.
        (
            "data:test\n\ndata:  test\n\n",
            vec![event("message", None, "test"), event("message", None, " test")],
        ),
        // A field without a colon has an empty value; empty data is data.
        ("data\n\ndata\ndata\n\ndata:", vec![event("message", None, ""), event("message", None, "\n")]),
        // The id lives on, also from an event without data.
        (
            "id: 1\n\ndata: a\n\ndata: b\nid\n\n",
            vec![event("message", Some("1"), "a"), event("message", Some(""), "b")],
        ),
        ("id: a\0b\ndata: c\n\n", vec![event("message", None, "c")]),
        // An event without data is none, and its name is forgotten.
        ("event: gone\n\ndata: a\n\n", vec![event("message", None, "a")]),
        (": a comment\n:\ndata: a\n: another\n\n", vec![event("message", None, "a")]),
        ("retry: 10\nfoo: bar\ndata: a\n\n", vec![event("message", None, "a")]),
        (
            "data: a\r\n\r\ndata: b\r\rdata: c\n\r\n",
            ["a", "b", "c"].map(|data| event("message", None, data)).into(),
        ),
        ("\u{feff}data: a\n\n", vec![event("message", None, "a")]),
        ("\n\u{feff}data: a\n\n", vec![]),
        ("data: the stream ends within\n", vec![]),
    ];
    for (text, expected) in cases {
        assert_eq!(read(&[text.as_bytes()]), expected, "{text:?}");
    }
}

#[test]
fn an_event_ends_with_the_carriage_return_and_need_not_wait_for_more() {
    assert_eq!(read(&[b"data: a\r\n\r"]), [event("message", None, "a")]);
    assert_eq!(read(&[b"data: a\r\n\r", b"\ndata: b\n\n"]).len(), 2);
}

#[test]
fn a_large_event_is_refused_however_it_grows() {
    let refused = Err(TooLarge { limit_bytes: 100 });
    let mut one_line = EventParser::with_limit(100);
    assert_eq!(one_line.feed(b"data: ", |_| {}), Ok(()));
    assert_eq!(one_line.feed(&[b'x'; 200], |_| {}), refused);

    let mut many_lines = EventParser::with_limit(100);
    let outcomes: Vec<_> = (0..20).map(|_| many_lines.feed(b"data: 0123456789\n", |_| {})).collect();
    assert!(outcomes.contains(&refused));

    // Many small ones are fine.
    let mut small = EventParser::with_limit(100);
    for _ in 0..100 {
        assert_eq!(small.feed(b": note\ndata: 0123456789\n\n", |_| {}), Ok(()));
    }
}

fn line() -> impl Strategy<Value = String> {
    let field = prop_oneof!["", "data", "event", "id", "retry", "other", "\u{feff}data"];
    let line = (field, prop_oneof!["", ":", ": ", ":  "], "[a-z:é\0 ]{0,6}")
        .prop_map(|(f, colon, v)| f + &colon + &v);
    (prop_oneof![2 => Just(String::new()), 5 => line], prop_oneof!["\n", "\r\n", "\r"])
        .prop_map(|(line, end)| line + &end)
}

proptest! {
    #[test]
    fn any_cut_of_the_bytes_gives_the_same_events(
        lines in prop::collection::vec(line(), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let text = lines.concat();
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(&chunks), read(&[bytes]));

        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(read(&single), read(&[bytes]));
    }

    #[test]
    fn any_line_end_gives_the_same_events(
        data in prop::collection::vec("[a-z]{0,5}", 1..10),
        end in prop_oneof!["\n", "\r\n", "\r"],
    ) {
        let text: String = data.iter().map(|line| format!("data: {line}{end}{end}")).collect();
        let expected: Vec<Event> = data.iter().map(|line| event("message", None, line)).collect();
        prop_assert_eq!(read(&[text.as_bytes()]), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..10)) {
        let mut parser = EventParser::with_limit(64);
        for chunk in &chunks {
            if parser.feed(chunk, |_| {}).is_err() {
                break;
            }
        }
    }
}
