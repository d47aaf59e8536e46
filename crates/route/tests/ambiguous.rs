//! Which paths are refused because servers do not agree where they lead, against all the readings that servers have.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;

use berth_route::{Ambiguous, normal_path, read_path};
use proptest::prelude::*;

fn is_refused(path: &str) -> bool {
    read_path(path.as_bytes()) == Err(Ambiguous)
}

#[test]
fn what_leads_elsewhere_for_some_is_refused() {
    for path in [
        "/api/..%2f..%2fsecret",
        "/raw/..%2Fadmin",
        "/raw/%2e%2E%2fadmin",
        "/raw/..;/admin",
        "/raw/..;a=b/admin",
        "/raw/.%2e;/admin",
        "/raw/..%3b/admin",
        "/raw/.;/admin",
        "/raw/..%5cadmin",
        "/raw/..\\admin",
        "/raw\\..\\admin",
        "/raw%2f../admin",
        "/raw%5c%2e%2e/admin",
        "/raw/x%2f..",
        "/raw/.%2f",
        // Plain dot segments, but what they go back over is one segment to some, and two to others.
        "/admin%2fx/../y",
        "/admin\\x/../y",
        "/admin/x%5cy/z/../../..",
        // Some go back over the empty segment.
        "/admin//../y",
        "/admin//x/../../y",
        "/admin//./../y",
    ] {
        assert!(is_refused(path), "{path}");
    }
}

#[test]
fn what_all_read_alike_is_not() {
    for path in [
        "",
        "*",
        "/",
        "/.",
        "/..",
        "/a/../b",
        "/a/./b/",
        "/../../a",
        "/a/%2e%2E/b",
        "/a/.%2e",
        "//../a",
        "/a//b",
        "/a//b/../c",
        "/a/..//b",
        "/a%2fb",
        "/a%2Fb/x/../y",
        "/x/../a%5cb",
        "/a\\b",
        "/a;b/../c",
        "/a;/b",
        "/;/..",
        "/.well-known/x",
        "/...",
        "/a%2f.b",
        "/a%2f...",
        "/a/..b;c",
        "/a%2fb/./c",
        "/%252e%252e%252fb",
        "/%%2e",
        "/a%3b",
        "/100%",
        "/a..%2fb",
        "/a.%2f",
        "/%2",
    ] {
        assert_eq!(read_path(path.as_bytes()), Ok(normal_path(path.as_bytes())), "{path}");
    }
}

/// How a server reads a path.
#[derive(Clone, Copy, Debug)]
struct Reader {
    slash: bool,
    encoded_backslash: bool,
    backslash: bool,
    params: bool,
    encoded_params: bool,
    merges: bool,
}

fn readers() -> impl Iterator<Item = Reader> {
    (0..64_u8).map(|bits| {
        let bit = |index: u8| bits & (1 << index) != 0;
        Reader {
            slash: bit(0),
            encoded_backslash: bit(1),
            backslash: bit(2),
            params: bit(3),
            encoded_params: bit(4),
            merges: bit(5),
        }
    })
}

/// Where this reader is led: the segments in the form in which all readers' segments are comparable.
fn led_to(path: &str, reader: Reader) -> Vec<String> {
    let mut text = replace(path, "%2E", ".");
    for (reads, encoding) in
        [(reader.slash, "%2F"), (reader.encoded_backslash, "%5C"), (reader.backslash, "\\")]
    {
        if reads {
            text = replace(&text, encoding, "/");
        }
    }
    let mut walked: Vec<String> = Vec::new();
    for segment in text.split('/').skip(1) {
        let mut name = segment.to_owned();
        if reader.encoded_params {
            name = replace(&name, "%3B", ";");
        }
        if reader.params {
            name = name.split(';').next().unwrap_or_default().to_owned();
        }
        match name.as_str() {
            // Cut off, it is no empty segment to go back over.
            "" if reader.merges && segment.is_empty() => {}
            "." => {}
            ".." => {
                walked.pop();
            }
            _ => walked.push(segment.to_owned()),
        }
    }
    // What some take apart, all take apart now, and nobody counts empty segments.
    let all = ["%2F", "%5C", "\\"].iter().fold(walked.join("/"), |text, slash| replace(&text, slash, "/"));
    all.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

/// Replaces an encoding, whatever the case of its digits; a `%25` is passed over.
fn replace(text: &str, encoding: &str, by: &str) -> String {
    let (mut replaced, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("%25") { 3 } else { first.len_utf8() };
        match rest.get(..encoding.len()) {
            Some(start) if start.eq_ignore_ascii_case(encoding) => {
                replaced.push_str(by);
                rest = &rest[encoding.len()..];
            }
            _ => {
                replaced.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
    }
    replaced
}

fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("/"), 3 => Just(".."), 2 => Just("."), 2 => Just("a"), 1 => Just("b"), 1 => Just("%2e"), 1 => Just("%2F"),
        1 => Just("%2f"), 1 => Just("%5c"), 1 => Just("\\"), 1 => Just(";"), 1 => Just("%3b"), 1 => Just("%25"),
        1 => Just("%"), 1 => Just("2f"), 1 => Just("%61"),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    /// Whoever takes a path that is not refused is led where all others are.
    #[test]
    fn readers_agree_on_what_is_taken(path in path()) {
        let led: BTreeSet<Vec<String>> = readers().map(|reader| led_to(&path, reader)).collect();
        if !is_refused(&path) {
            prop_assert_eq!(led.len(), 1, "{:?}", led);
        }
    }

    /// What is refused has a dot segment in some reading, and something that is not read alike.
    #[test]
    fn nothing_else_is_refused(path in path()) {
        let lenient = ["%2F", "%5C", "\\"].iter().fold(path.clone(), |text, slash| replace(&text, slash, "/"));
        let lenient = replace(&replace(&lenient, "%2E", "."), "%3B", ";");
        let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
        let differs = lenient.contains("//")
            || lenient.contains(';')
            || lenient.matches('/').count() > path.matches('/').count();
        if is_refused(&path) {
            prop_assert!(lenient.split('/').any(is_dots) && differs, "{}", lenient);
        } else {
            prop_assert_eq!(read_path(path.as_bytes()).unwrap(), normal_path(path.as_bytes()));
        }
    }

    /// Its normal form is read alike too: a path that goes on in it leads to the same place.
    #[test]
    fn a_normal_form_is_never_refused(path in path()) {
        if let Ok(normal) = read_path(path.as_bytes()) {
            prop_assert_eq!(read_path(&normal).unwrap().into_owned(), &*normal);
        }
    }
}
