//! Which patterns are taken and what they become; what is refused says how to mend it.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use berth_model::Invalid;
use berth_route::{HostPattern, PathPattern, Rule};
use proptest::prelude::*;

fn host(text: &str) -> Result<String, Invalid> {
    text.parse::<HostPattern>().map(|pattern| pattern.to_string())
}

fn path(text: &str) -> Result<String, Invalid> {
    text.parse::<PathPattern>().map(|pattern| pattern.to_string())
}

fn below(text: &str) -> Result<String, Invalid> {
    PathPattern::below(text).map(|pattern| pattern.to_string())
}

fn advertised(text: &str) -> Result<String, Invalid> {
    Rule::advertised(text).map(|rule| rule.to_string())
}

fn refused(result: Result<String, Invalid>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn hosts_are_kept_in_one_form() {
    for (text, kept) in [
        ("example.com", "example.com"),
        ("EXAMPLE.Com", "example.com"),
        ("*.Example.com", "*.example.com"),
        ("*.com", "*.com"),
        ("localhost", "localhost"),
        ("_dmarc.a-b.example", "_dmarc.a-b.example"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::1]", "[::1]"),
        ("[0:0::0:1]", "[::1]"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
    ] {
        assert_eq!(host(text).unwrap(), kept);
        assert_eq!(host(kept).unwrap(), kept);
    }
    assert_eq!(host(&format!("{}a", "a.".repeat(126))).unwrap().len(), 253);
}

#[test]
fn hosts_that_are_none_are_refused() {
    for (text, message) in [
        ("", "host is empty. Leave it out for every host."),
        ("*", "host is \"*\". Leave the host out for every host."),
        ("example.com:8080", "host is \"example.com:8080\". Leave the port out."),
        ("*.example.com:80", "host is \"*.example.com:80\". Leave the port out."),
        ("[::1]:8080", "host is \"[::1]:8080\". Leave the port out."),
        ("::1", "host is \"::1\". Write the address in brackets: [::1]."),
        ("[::1]x", "host is \"[::1]x\". Write [::1]."),
        ("[::1", "host is \"[::1\". Write [::1]."),
        ("[10.0.0.1]", "host is \"[10.0.0.1]\". Write an IPv6 address in brackets, such as [::1]."),
        ("[fe80::1%eth0]", "host is \"[fe80::1%eth0]\". Write an IPv6 address in brackets, such as [::1]."),
    ] {
        assert_eq!(refused(host(text)), message);
    }
    for text in ["*example.com", "a.*.com", "*.*.com", "example.*", "**", "*.*"] {
        assert!(refused(host(text)).contains("no star elsewhere: *.example.com."), "{text}");
    }
    for text in [".", ".com", "com.", "a..b", "*.", "*..a"] {
        assert!(refused(host(text)).contains("Write one dot between labels"), "{text}");
    }
    for text in ["a b", "a/b", "http://a", "ä.de", "a%41", "a,b", "*.[::1]", "a:b", "a\nb"] {
        assert!(refused(host(text)).contains("Write letters, digits, hyphens"), "{text}");
    }
    assert_eq!(refused(host(&"a".repeat(254))), "host has 254 bytes. Write a name of at most 253 bytes.");
    assert!(refused(host(&"ä".repeat(9000))).len() < 300);
}

#[test]
fn paths_are_kept_in_one_form() {
    for (text, kept) in [
        ("/", "/"),
        ("/*", "/*"),
        ("/api", "/api"),
        ("/api/", "/api/"),
        ("/api/*", "/api/*"),
        ("/%61pi/%7e%2f/*", "/api/~%2F/*"),
        ("/.well-known/...", "/.well-known/..."),
        ("/a;b=c,d@e:f!$&'()+", "/a;b=c,d@e:f!$&'()+"),
        ("/100%", "/100%"),
        ("/%2a", "/%2A"),
    ] {
        assert_eq!(path(text).unwrap(), kept);
        assert_eq!(path(kept).unwrap(), kept);
    }
    assert_eq!(path(&format!("/{}", "a".repeat(1023))).unwrap().len(), 1024);
    assert_eq!(path("/*").unwrap(), PathPattern::any().to_string());
}

#[test]
fn paths_that_are_none_are_refused() {
    for (text, message) in [
        ("", "path is empty. Write / for the root, or /* for every path."),
        ("api", "path is \"api\". Begin it with a slash, such as /api."),
        ("*", "path is \"*\". Begin it with a slash, such as /api."),
        ("/a//b", "path is \"/a//b\". Write it without empty, . and .. segments: /a/b"),
        ("/a//", "path is \"/a//\". Write it without empty, . and .. segments: /a/"),
        ("//*", "path is \"//*\". Write it without empty, . and .. segments: /*"),
        ("/a/./%62/*", "path is \"/a/./%62/*\". Write it without empty, . and .. segments: /a/b/*"),
        ("/a/%2e%2E/b", "path is \"/a/%2e%2E/b\". Write it without empty, . and .. segments: /b"),
        ("/..", "path is \"/..\". Write it without empty, . and .. segments: /"),
    ] {
        assert_eq!(refused(path(text)), message);
        assert_eq!(refused(below(text)), message);
    }
    for text in ["/api*", "/*/x", "/a/*/b", "/**", "/*/*", "/a/*/", "/*x"] {
        assert!(refused(path(text)).contains("/api/* is /api and everything below it"), "{text}");
        assert!(refused(below(text)).contains("/api/* is /api and everything below it"), "{text}");
    }
    for text in ["/a b", "/ä", "/a#b", "/\u{7f}", "/a\tb"] {
        assert!(refused(path(text)).contains("Percent-encode"), "{text}");
    }
    for text in ["/a/..%2fb", "/a/..;/b/*", "/a\\..\\b", "/a%5cb/../c"] {
        assert!(refused(path(text)).contains("without dot segments beside %2F, %5C, \\ and ;"), "{text}");
    }
    assert!(refused(path("/a?b=c")).contains("Leave the query out"));
    assert!(refused(path(&format!("/{}", "a".repeat(1024)))).contains("has 1025 bytes"));
}

#[test]
fn what_services_advertise_is_for_everything_below() {
    for (text, kept) in
        [("/api", "/api/*"), ("/api/", "/api/*"), ("/api/*", "/api/*"), ("/", "/*"), ("/*", "/*")]
    {
        assert_eq!(below(text).unwrap(), kept);
        assert_eq!(advertised(text).unwrap(), kept);
        assert_eq!(advertised(&format!("*.Example.com{text}")).unwrap(), format!("*.example.com{kept}"));
    }
    assert!(Rule::advertised("/").unwrap().is_any());
    assert!(!Rule::advertised("/a").unwrap().is_any());
    assert!(refused(advertised("example.com")).starts_with("route is \"example.com\". Send a path such as"));
    assert!(refused(advertised("")).starts_with("route is \"\". Send a path"));
    assert!(refused(advertised("a:80/x")).starts_with("host is \"a:80\". Leave the port out."));
    assert!(refused(advertised("a/x?y")).starts_with("path is \"/x?y\". Leave the query out"));
    assert!(refused(advertised(&format!("a/{}", "x".repeat(1023)))).starts_with("route has 1025 bytes."));
    assert!(advertised(&format!("a/{}", "x".repeat(1022))).is_ok());
}

/// Routes that are almost right.
fn route() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => Just("/"), 2 => Just("a"), 1 => Just("."), 1 => Just("*"), 1 => Just("*."), 1 => Just("%2e"), 1 => Just("%"),
        1 => Just("2"), 1 => Just("%2F"), 1 => Just("%5c"), 1 => Just("\\"), 1 => Just(";"), 1 => Just("%3b"), 1 => Just("?"),
        1 => Just("#"), 1 => Just(":"), 1 => Just("[::1]"), 1 => Just("["), 1 => Just("_-"), 1 => Just("é"), 1 => Just(" "),
        1 => Just("%25"), 1 => Just("/*"),
    ];
    let parts = proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat());
    let start = prop_oneof![2 => Just(""), 1 => Just("/"), 1 => Just("a.b/"), 1 => Just("*.a/"), 1 => Just("http://")];
    (start, parts).prop_map(|(start, parts)| format!("{start}{parts}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16384))]

    /// A registry takes what a balancer can read, and refuses the rest where the owner sees it.
    #[test]
    fn what_a_registry_takes_can_be_read(text in prop_oneof![4 => route(), 1 => ".{0,12}"]) {
        prop_assert_eq!(berth_model::check_route(&text).is_ok(), Rule::advertised(&text).is_ok());
    }
}

#[test]
fn a_registry_takes_routes_as_long_as_can_be_read() {
    let host = format!("{}a/", "a.".repeat(126));
    for text in
        [format!("/{}", "x".repeat(1023)), format!("/{}", "x".repeat(1024)), host.clone(), format!("a{host}")]
    {
        assert_eq!(berth_model::check_route(&text).is_ok(), Rule::advertised(&text).is_ok(), "{text}");
    }
}

#[test]
fn whole_segments_decide_what_is_below() {
    let is_below = |path: &str, prefix: &str| path.parse::<PathPattern>().unwrap().is_below(prefix);
    for (path, prefix, expected) in [
        ("/api/*", "/api", true),
        ("/api/*", "/api/", true),
        ("/api", "/api", true),
        ("/api/v1", "/api", true),
        ("/apix", "/api", false),
        ("/*", "/api", false),
        ("/*", "/", true),
        ("/x", "/", true),
    ] {
        assert_eq!(is_below(path, prefix), expected, "{path} below {prefix}");
    }
}

fn rule(methods: &[&str], fields: &[(&str, &str)], query: &[(&str, &str)]) -> Rule {
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    let methods = methods.iter().map(|method| (*method).to_owned()).collect();
    Rule { methods, fields: owned(fields), query: owned(query), ..Rule::advertised("a.example/v1").unwrap() }
}

#[test]
fn a_checked_rule_equals_every_spelling_of_it() {
    let one = rule(&["HEAD", "GET", "GET"], &[("X-B", "2"), ("x-a", "1")], &[("q", ""), ("p", "1")]);
    let other = rule(&["GET", "HEAD"], &[("x-a", "1"), ("X-A", "1"), ("x-b", "2")], &[("p", "1"), ("q", "")]);
    assert_eq!(one.clone().checked().unwrap(), other.checked().unwrap());
    let shown = one.checked().unwrap().to_string();
    assert_eq!(shown, "a.example/v1/* [GET,HEAD x-a=1 x-b=2 ?p=1 ?q=\"\"]");
}

#[test]
fn rules_that_could_never_hold_are_refused() {
    let refused = |rule: Rule| rule.checked().unwrap_err().to_string();
    assert_eq!(refused(rule(&["get"], &[], &[])), "method is \"get\". Write GET.");
    assert_eq!(refused(rule(&["G T"], &[], &[])), "method is \"G T\". Write a method such as GET.");
    assert_eq!(refused(rule(&[""], &[], &[])), "method is \"\". Write a method such as GET.");
    assert!(rule(&["PURGE", "x-own"], &[], &[]).checked().is_ok());
    for name in ["", "x:", "x a", "ä"] {
        assert!(refused(rule(&[], &[(name, "1")], &[])).contains("Write a field's name"), "{name}");
    }
    for name in ["host", "Host", "HOST"] {
        assert!(refused(rule(&[], &[(name, "a")], &[])).contains("Write it as `host`"), "{name}");
    }
    for value in [" a", "a\t", "a\nb", "\u{7f}"] {
        assert!(refused(rule(&[], &[("x", value)], &[])).contains("header x has the value"), "{value:?}");
    }
    assert!(rule(&[], &[("x", ""), ("y", "a b, ü")], &[("ü", "a b")]).checked().is_ok());
    assert!(refused(rule(&[], &[], &[("", "1")])).contains("without a name"));
    assert!(refused(rule(&[], &[], &[("q", "\n")])).contains("query has \"q\"=\"\\n\""));
}

#[test]
fn rules_that_differ_look_different() {
    let bare = rule(&[], &[], &[]);
    let any_host = Rule { host: None, ..bare.clone() };
    let rules = [
        bare,
        any_host,
        rule(&["GET"], &[], &[]),
        rule(&["GET", "HEAD"], &[], &[]),
        rule(&["GET,HEAD"], &[], &[]),
        rule(&["GET", "x=1"], &[], &[]),
        rule(&["GET"], &[("x", "1")], &[]),
        rule(&[], &[("x", "1")], &[]),
        rule(&[], &[("?x", "1")], &[]),
        rule(&[], &[], &[("x", "1")]),
        rule(&[], &[], &[("x", "1 ?y=2")]),
        rule(&[], &[], &[("x", "1"), ("y", "2")]),
        rule(&[], &[], &[("x=1 ?y", "2")]),
        rule(&[], &[("x", "a y=b")], &[]),
        rule(&[], &[("x", "a"), ("y", "b")], &[]),
        rule(&[], &[("x", "")], &[]),
        rule(&[], &[("x", "\"\"")], &[]),
    ];
    for (at, one) in rules.iter().enumerate() {
        for other in &rules[..at] {
            assert_ne!(one.to_string(), other.to_string());
        }
    }
    assert_eq!(
        rule(&["GET", "HEAD"], &[("x-a", "b")], &[("q", "1")]).to_string(),
        "a.example/v1/* [GET,HEAD x-a=b ?q=1]"
    );
    assert_eq!(rule(&[], &[("x", "a b")], &[]).to_string(), "a.example/v1/* [x=\"a b\"]");
}

/// A rule from few and nasty words, so that two of them are often almost the same.
fn any_rule() -> impl Strategy<Value = Rule> {
    let word = || proptest::sample::select(vec!["a", "b", "a=b", "?a", "a b", "a,b", "\"a\"", "", "]", "\\"]);
    let words = proptest::collection::vec(word(), 0..3);
    let pairs = || proptest::collection::vec((word(), word()), 0..3);
    let host = proptest::sample::select(vec!["", "a.b", "*.a.b"]);
    (host, words, pairs(), pairs()).prop_map(|(host, methods, fields, query)| Rule {
        host: (!host.is_empty()).then(|| host.parse().unwrap()),
        ..rule(&methods, &fields, &query)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_is_shown_tells_rules_apart(one in any_rule(), other in any_rule()) {
        prop_assert_eq!(one == other, one.to_string() == other.to_string());
    }
}

#[test]
fn a_rule_has_thirty_two_conditions_of_a_kind_at_most() {
    let names = |count: usize| (0..count).map(|number| format!("x{number}"));
    let pairs = |count| names(count).map(|name| (name, "1".to_owned())).collect();
    let rule = |methods, fields, query| Rule {
        methods: names(methods).collect(),
        fields: pairs(fields),
        query: pairs(query),
        ..Rule::any()
    };
    assert_eq!(rule(32, 32, 32).check(), Ok(()));
    for (rule, field) in [(rule(33, 0, 0), "method"), (rule(0, 33, 0), "header"), (rule(0, 0, 33), "query")] {
        assert_eq!(rule.check().unwrap_err().field, field);
        assert_eq!(rule.checked().unwrap_err().field, field);
    }
}
