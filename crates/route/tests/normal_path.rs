//! The form in which paths are compared, against a slow reading of RFC 3986.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::borrow::Cow;

use berth_route::normal_path;
use proptest::prelude::*;

fn normal(path: &str) -> String {
    String::from_utf8(normal_path(path.as_bytes()).into_owned()).unwrap()
}

#[test]
fn examples() {
    for (path, expected) in [
        ("", "/"),
        ("*", "*"),
        ("/", "/"),
        ("//", "/"),
        ("/.", "/"),
        ("/..", "/"),
        ("/../../etc", "/etc"),
        ("/a/b/c/./../../g", "/a/g"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/a//../b", "/b"),
        ("/a/%2e%2E//b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/%61%70i", "/api"),
        ("/%7euser", "/~user"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%2Fb%20c", "/a%2Fb%20c"),
        ("/%e2%82%ac", "/%E2%82%AC"),
        ("/100%", "/100%"),
        ("/%zz%4", "/%zz%4"),
        ("/%252e%252e/x", "/%252e%252e/x"),
        // Decoded, these would be read as an encoding by whoever comes next.
        ("/%%32e/x", "/%%32e/x"),
        ("/%2%65/x", "/%2%65/x"),
        ("/%%7e", "/%~"),
        ("/.well-known/...", "/.well-known/..."),
        ("/a/...//..b/.c", "/a/.../..b/.c"),
        ("a/b", "/a/b"),
        ("*x", "/*x"),
    ] {
        assert_eq!(normal(path), expected, "{path}");
    }
}

#[test]
fn what_is_normal_comes_back_borrowed() {
    let long = format!("/{}", "a/b".repeat(5000));
    for path in ["/", "*", "/api/v1/", "/a.b/c", &long, "/.well-known/x", "/a%20b", "/100%", "/a..b"] {
        assert!(matches!(normal_path(path.as_bytes()), Cow::Borrowed(_)), "{path}");
    }
}

/// The digits of the encoding that this text begins with.
fn encoding(text: &[char]) -> Option<u8> {
    let ['%', high, low, ..] = text else { return None };
    u8::from_str_radix(&format!("{}{}", high.to_digit(16).map(|_| high)?, low.to_digit(16).map(|_| low)?), 16)
        .ok()
}

/// One step at a time, in the words of the standard.
fn reference(path: &str) -> String {
    if path == "*" {
        return path.to_owned();
    }
    let (chars, mut decoded, mut at) = (path.chars().collect::<Vec<_>>(), String::new(), 0);
    while at < chars.len() {
        let Some(byte) = encoding(&chars[at..]) else {
            decoded.push(chars[at]);
            at += 1;
            continue;
        };
        let char = char::from(byte);
        let kept: String = chars[at..at + 3].iter().collect();
        // A `%` that stands alone must not get an encoding behind it that was not there.
        let tail: Vec<char> = decoded.chars().rev().take(2).collect();
        let alone = tail.first() == Some(&'%') || (tail.get(1) == Some(&'%') && tail[0].is_ascii_hexdigit());
        let unreserved = char.is_ascii_alphanumeric() || "-._~".contains(char);
        if unreserved && !(alone && char.is_ascii_hexdigit()) {
            decoded.push(char);
        } else {
            decoded.push_str(&kept.to_uppercase());
        }
        at += 3;
    }
    let mut input = format!("/{decoded}");
    while input.contains("//") {
        input = input.replace("//", "/");
    }
    // RFC 3986 §5.2.4.
    let mut output = String::new();
    while !input.is_empty() {
        if input.starts_with("/./") || input == "/." {
            input = format!("/{}", input.get(3..).unwrap_or(""));
        } else if input.starts_with("/../") || input == "/.." {
            input = format!("/{}", input.get(4..).unwrap_or(""));
            output.truncate(output.rfind('/').unwrap_or(0));
        } else {
            let end = input[1..].find('/').map_or(input.len(), |end| end + 1);
            output.push_str(&input[..end]);
            input = input[end..].to_owned();
        }
    }
    output
}

fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => Just("/"), 2 => Just("."), 1 => Just(".."), 2 => Just("%"), 1 => Just("%2e"), 1 => Just("%2F"),
        1 => Just("%2f"), 1 => Just("%61"), 1 => Just("2"), 1 => Just("e"), 1 => Just("a"), 1 => Just("%32"),
        1 => Just("%25"), 1 => Just("%65"), 1 => Just("*"), 1 => Just("%zz"), 1 => Just("%7E"),
    ];
    let raw = proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat());
    (prop_oneof![4 => Just("/"), 1 => Just("")], raw).prop_map(|(first, raw)| format!("{first}{raw}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn it_is_what_the_standard_says(path in path()) {
        prop_assert_eq!(normal(&path), reference(&path));
    }

    /// Of any bytes: nothing is left to do, and nobody climbs.
    #[test]
    fn it_is_final(path in prop_oneof![
        path().prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..40),
        proptest::collection::vec(proptest::sample::select(b"/.%25eEfaz\xff".to_vec()), 0..40),
    ]) {
        let once = normal_path(&path).into_owned();
        prop_assert_eq!(&*normal_path(&once), &*once);
        if path != b"*" {
            prop_assert!(once.starts_with(b"/"));
            let is_dots = |segment: &[u8]| segment == b".." || segment == b".";
            prop_assert!(!once.split(|byte| *byte == b'/').any(is_dots));
            prop_assert!(!once.windows(2).any(|pair| pair == b"//"));
        }
    }
}
