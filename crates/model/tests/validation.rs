//! What the registry's callers may send, and what they are told when they send something else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

use berth_model::{Instance, Invalid, Patch, Query, Registration, Revision, Run, ServiceName, Ttl};
use proptest::prelude::*;

fn refusal(body: &str) -> Invalid {
    Registration::from_json(body.as_bytes()).expect_err(body)
}

#[test]
fn only_the_port_is_required() {
    let registration = Registration::from_json(br#"{"port": 8080}"#).unwrap();
    assert_eq!(registration, Registration::of_port(8080));
    assert_eq!(registration.ttl_s, Ttl::DEFAULT);
    assert_eq!(registration.weight, 1);
}

#[test]
fn a_registration_is_read_back_as_it_was_written() {
    let body = r#"{"run":"77","version":"1.2.3-rc.1","host":"10.0.0.7","port":81,"scheme":"https","weight":1000,
        "zone":"a","routes":["/api","api.example.com/"],"meta":{"k":"v"},"ttl_s":2.5,"verify":"none","draining":true}"#;
    let registration = Registration::from_json(body.as_bytes()).unwrap();
    let printed = serde_json::to_vec(&registration).unwrap();
    assert_eq!(Registration::from_json(&printed).unwrap(), registration);
}

#[test]
fn each_bad_field_is_named_with_its_mend() {
    let cases = [
        (r"{}", "port", "is missing"),
        (r#"{"port":0}"#, "port", "is 0"),
        (r#"{"port":65536}"#, "port", "is 65536"),
        (r#"{"port":"80"}"#, "port", "invalid type"),
        (r#"{"port":-1}"#, "port", "invalid value"),
        (r#"{"port":80,"prot":1}"#, "prot", "unknown field"),
        (r#"{"port":80,"run":7}"#, "run", "invalid type"),
        (r#"{"port":80,"run":"0"}"#, "run", "is 0"),
        (r#"{"port":80,"run":"-7"}"#, "run", "is \"-7\""),
        (r#"{"port":80,"run":"9223372036854775808"}"#, "run", "9223372036854775808"),
        (r#"{"port":80,"version":"1.2"}"#, "version", "is \"1.2\""),
        (r#"{"port":80,"host":"localhost"}"#, "host", "localhost"),
        (r#"{"port":80,"host":"0.0.0.0"}"#, "host", "unspecified"),
        (r#"{"port":80,"host":"::ffff:0.0.0.0"}"#, "host", "unspecified"),
        (r#"{"port":80,"host":"224.0.0.1"}"#, "host", "multicast"),
        (r#"{"port":80,"host":"169.254.1.1"}"#, "host", "link-local"),
        (r#"{"port":80,"host":"fe80::1"}"#, "host", "link-local"),
        (r#"{"port":80,"scheme":"ftp"}"#, "scheme", "ftp"),
        (r#"{"port":80,"weight":0}"#, "weight", "is 0"),
        (r#"{"port":80,"weight":1001}"#, "weight", "is 1001"),
        (r#"{"port":80,"zone":"a\nb"}"#, "zone", "control"),
        (r#"{"port":80,"routes":["api"]}"#, "routes[0]", "api"),
        (r#"{"port":80,"routes":["/a","/a*b"]}"#, "routes[1]", "/a*b"),
        (r#"{"port":80,"routes":["http://x/y"]}"#, "routes[0]", "http://x/y"),
        (r#"{"port":80,"routes":["x:80/y"]}"#, "routes[0]", "x:80/y"),
        (r#"{"port":80,"routes":["/a/../b"]}"#, "routes[0]", "/a/../b"),
        (r#"{"port":80,"routes":["/a?b"]}"#, "routes[0]", "/a?b"),
        (r#"{"port":80,"meta":{"":"v"}}"#, "meta", "key"),
        (r#"{"port":80,"meta":{"k":1}}"#, "meta.k", "invalid type"),
        (r#"{"port":80,"ttl_s":1.9}"#, "ttl_s", "is 1.9"),
        (r#"{"port":80,"ttl_s":3601}"#, "ttl_s", "is 3601"),
        (r#"{"port":80,"verify":"http"}"#, "verify", "http"),
        (r#"{"port":80,"draining":1}"#, "draining", "invalid type"),
        (r#"{"port":80} {}"#, "body", "goes on"),
        (r#"{"port":80"#, "body", "EOF"),
        (r"[]", "body", "no JSON object"),
        (r"[null,null,null,80]", "body", "no JSON object"),
        ("", "body", "no JSON object"),
    ];
    for (body, field, problem) in cases {
        let told = refusal(body);
        assert_eq!(told.field, field, "{body}: {told}");
        assert!(told.problem.contains(problem), "{body}: {told}");
        assert!(told.mend.ends_with('.') || told.mend.ends_with('-'), "{body}: {told}");
    }
    assert_eq!(Registration::from_json(b"{\"port\":80,\"zone\":\"\xff\"}").unwrap_err().field, "body");
    let deep = "[".repeat(100_000);
    let deep = refusal(&format!(r#"{{"port":80,"routes":{deep}}}"#));
    assert!(deep.problem.contains("cannot be read"), "{deep}");
}

#[test]
fn names_are_plain_and_bounded() {
    for good in ["web", "a", "A-b_c.9", &"x".repeat(128)] {
        assert!(good.parse::<ServiceName>().is_ok(), "{good}");
    }
    for bad in ["", ".", "..", "a/b", "a b", "é", "a\0", "web@1", &"x".repeat(129)] {
        assert_eq!(bad.parse::<ServiceName>().unwrap_err().field, "service", "{bad}");
    }
}

#[test]
fn a_patch_must_change_something() {
    assert_eq!(Patch::from_json(b"{}").unwrap_err().field, "body");
    assert_eq!(Patch::from_json(br#"{"weight":0}"#).unwrap_err().field, "weight");
    assert_eq!(Patch::from_json(br#"{"draining":true}"#).unwrap().draining, Some(true));
}

fn instance(version: Option<&str>) -> Instance {
    let mut registration = Registration::of_port(80);
    registration.version = version.map(|text| text.parse().unwrap());
    registration.meta.insert("zone".into(), "a".into());
    let host = "127.0.0.1".parse().unwrap();
    registration.into_instance("beep".parse().unwrap(), "1".parse().unwrap(), Run::new(1, 1), host)
}

#[test]
fn queries_choose_as_seaport_does() {
    let versions = [Some("1.2.0"), Some("1.2.3"), Some("2.0.0"), None];
    let count = |query: &str| {
        let query: Query = query.parse().unwrap();
        versions.iter().filter(|version| query.matches(&instance(**version))).count()
    };
    assert_eq!(count("beep"), 4);
    assert_eq!(count("beep@1.2.x"), 2);
    assert_eq!(count("beep@>1.2.0"), 2);
    assert_eq!(count("beep@1.2.3"), 1);
    assert_eq!(count("beep@1.x || 2.x"), 3);
    assert_eq!(count("boop"), 0);
    for bad in ["beep@", "beep@one", "@1.x", &format!("beep@{}", "1".repeat(300))] {
        let told = bad.parse::<Query>();
        // npm reads an empty range as "any".
        assert!(told.is_err() || bad == "beep@", "{bad}");
    }
    let mut by_meta: Query = "beep".parse().unwrap();
    by_meta.meta.insert("zone".into(), "b".into());
    assert!(!by_meta.matches(&instance(None)));
}

proptest! {
    #[test]
    fn no_body_makes_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Registration::from_json(&body);
        let _ = Patch::from_json(&body);
    }

    #[test]
    fn no_text_makes_a_panic(text in ".{0,60}") {
        let _ = text.parse::<Query>();
        let _ = text.parse::<Revision>();
        let _ = text.parse::<Run>();
    }

    #[test]
    fn later_runs_are_higher(ms in 0_u64..1 << 42, gap in 1_u64..1_000_000, a in any::<u64>(), b in any::<u64>()) {
        prop_assert!(Run::new(ms + gap, b) > Run::new(ms, a));
        prop_assert_eq!(Run::new(ms, a).to_string().parse::<Run>().unwrap(), Run::new(ms, a));
    }

    #[test]
    fn a_revision_is_read_back(epoch in any::<u64>(), sequence in any::<u64>()) {
        let revision = Revision { epoch, sequence };
        prop_assert_eq!(revision.to_string().parse::<Revision>().unwrap(), revision);
    }
}
