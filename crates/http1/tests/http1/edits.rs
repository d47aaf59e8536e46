//! What an operator changes in heads on their way.

use berth_http1::forward::{Downstream, RequestEdits, write_request, write_response};
use berth_http1::{BadEdit, FieldEdits, Lines, RequestHead, ResponseHead, Version};

use crate::laws::{LIMITS, STRANGER};
use crate::{forwarded, text, traced};

fn edits(set: &[(&str, &str)], remove: &[&str]) -> FieldEdits {
    let mut edits = FieldEdits::default();
    for (name, value) in set {
        edits.set(name, value).unwrap();
    }
    for name in remove {
        edits.remove(name).unwrap();
    }
    edits
}

fn sent(head: &str, target: Option<[&str; 4]>, host: Option<&str>, fields: &FieldEdits) -> String {
    let mut lines = Lines::default();
    let head = RequestHead::parse(head.as_bytes(), &mut lines, &LIMITS).unwrap().unwrap();
    let target = target.map(|parts| parts.map(str::as_bytes));
    let mut out = Vec::new();
    let edits = RequestEdits { target, host: host.map(str::as_bytes), fields };
    write_request(&head, &STRANGER, Some(&edits), &mut out);
    text(&out)
}

#[test]
fn fields_are_set_and_removed_whatever_their_case() {
    let fields = edits(&[("X-Team", "blue"), ("Accept", "text/html")], &["cookie"]);
    let head = "GET / HTTP/1.1\r\nHost: a\r\nx-team: red\r\nCOOKIE: a=b\r\nX-Team: green\r\nAccept: */*\r\n\
                Cookies: stay\r\n\r\n";
    let kept = "GET / HTTP/1.1\r\nHost: a\r\nCookies: stay\r\n";
    let with_end = forwarded("a");
    let added = "X-Team: blue\r\nAccept: text/html\r\n\r\n";
    assert_eq!(sent(head, None, None, &fields), format!("{kept}{}{added}", &with_end[..with_end.len() - 2]));
}

/// To CGI, WSGI and their like all these are HTTP_X_USER_ID or HTTP_X_ROLE.
#[test]
fn no_field_of_a_request_passes_by_in_another_spelling() {
    let fields = edits(&[("X-Role", "guest"), ("a_b", "c")], &["X-User-Id"]);
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX_User_Id: 1\r\nx-user_id: 1\r\nX_ROLE: admin\r\nA-B: d\r\n\
                X-User.Id: stays\r\nX--Role: stays\r\nX_User: stays\r\n\r\n";
    let new = sent(head, None, None, &fields);
    let kept = "GET / HTTP/1.1\r\nHost: a\r\nX-User.Id: stays\r\nX--Role: stays\r\nX_User: stays\r\nX-Forwarded-For:";
    assert!(new.starts_with(kept), "{new}");
    assert!(new.ends_with("\r\nX-Role: guest\r\na_b: c\r\n\r\n"), "{new}");
}

#[test]
fn nothing_to_edit_changes_nothing() {
    let head = "GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let unchanged = format!("GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n{}", forwarded("a"));
    assert_eq!(sent(head, None, None, &FieldEdits::default()), unchanged);
}

#[test]
fn a_new_target_and_host() {
    let none = FieldEdits::default();
    let head = "GET /api/x?y HTTP/1.1\r\nX: y\r\nHost: a\r\nZ: z\r\n\r\n";
    let new = sent(head, Some(["/v1", "", "/x", "?y"]), Some("inside:1"), &none);
    assert_eq!(new, format!("GET /v1/x?y HTTP/1.1\r\nX: y\r\nZ: z\r\nHost: inside:1\r\n{}", forwarded("a")));
    let absolute = "GET http://b/api HTTP/1.1\r\nHost: a\r\n\r\n";
    let new = sent(absolute, Some(["", "/", "", ""]), Some("c"), &none);
    assert_eq!(new, format!("GET / HTTP/1.1\r\nHost: c\r\n{}", forwarded("b")));
    let old = "GET /api HTTP/1.0\r\n\r\n";
    let new = sent(old, None, Some("c"), &none);
    let forwarding = "X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n\
                      X-Forwarded-Host: fallback:8080\r\n";
    assert!(new.starts_with("GET /api HTTP/1.1\r\nHost: c\r\n"), "{new}");
    assert!(new.ends_with(&traced("1.0")), "{new}");
    assert_eq!(new.matches("Host:").count(), 2, "{new}, {forwarding}");
}

#[test]
fn answers_are_edited() {
    let fields = edits(&[("Strict-Transport-Security", "max-age=1")], &["Server"]);
    let head = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\nserver: y\r\n\
                Strict_Transport_Security: another\r\n\r\n";
    let mut lines = Lines::default();
    let head = ResponseHead::parse(head.as_bytes(), &mut lines, false).unwrap().unwrap();
    let mut out = Vec::new();
    let client = Downstream { version: Version::Http11, keep_alive: true };
    write_response(&head, client, Some(&fields), &mut out);
    assert_eq!(
        text(&out),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nStrict_Transport_Security: another\r\n\
         Strict-Transport-Security: max-age=1\r\n\r\n"
    );
}

#[test]
fn what_cannot_be_edited() {
    for (name, value, problem) in [
        ("", "x", BadEdit::Name),
        ("a b", "x", BadEdit::Name),
        ("a:", "x", BadEdit::Name),
        ("ä", "x", BadEdit::Name),
        ("x", "a\r\nb: c", BadEdit::Value),
        ("x", "a\nb", BadEdit::Value),
        ("x", "\0", BadEdit::Value),
        ("x", " a", BadEdit::Value),
        ("Host", "x", BadEdit::Own),
        ("content-length", "0", BadEdit::Own),
        ("Content_Length", "0", BadEdit::Own),
        ("Transfer-Encoding", "chunked", BadEdit::Own),
        ("Connection", "close", BadEdit::Own),
        ("keep-alive", "1", BadEdit::Own),
        ("Upgrade", "x", BadEdit::Own),
        ("TE", "x", BadEdit::Own),
        ("Trailer", "x", BadEdit::Own),
        ("Expect", "x", BadEdit::Own),
        ("X-Forwarded-For", "1.2.3.4", BadEdit::Own),
        ("Forwarded", "x", BadEdit::Own),
        ("X-Request-Id", "x", BadEdit::Own),
        ("Via", "x", BadEdit::Own),
    ] {
        let mut edits = FieldEdits::default();
        assert_eq!(edits.set(name, value), Err(problem), "{name}: {value}");
        assert!(edits.is_empty());
        if problem != BadEdit::Value {
            assert_eq!(edits.remove(name), Err(problem), "{name}");
        }
    }
}
