//! `registry listen`.

use std::io::Write;
use std::net::SocketAddr;

use rustix::process::Signal;

use crate::process::{Process, run};

#[test]
fn a_port_alone_is_loopback_on_both_families() {
    let mut registry = Process::start(&["listen", "0"]);
    let v4: SocketAddr = registry.address().parse().unwrap();
    assert_eq!(v4.ip().to_string(), "127.0.0.1");
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert_eq!(registry.address(), format!("[::1]:{}", v4.port()));
    }
}

#[test]
fn a_signal_ends_it_cleanly_also_under_a_watcher() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut registry = Process::start(&["listen", "127.0.0.1:0"]);
        let address = registry.address();
        let mut watch = Process::start(&["watch", "--registry", &address]);
        assert_eq!(
            run(&[
                "register",
                "web",
                "--port",
                "80",
                "--id",
                "a",
                "--verify",
                "none",
                "--registry",
                &address
            ])
            .code,
            Some(0)
        );
        assert!(watch.line().contains("web/a"));
        registry.signal(signal);
        assert_eq!(registry.wait().code(), Some(0));
    }
}

#[test]
fn a_taken_port_is_named() {
    let mut first = Process::start(&["listen", "0"]);
    let address: SocketAddr = first.address().parse().unwrap();
    let second = run(&["listen", &address.port().to_string()]);
    assert_eq!(second.code, Some(1));
    for part in [address.to_string().as_str(), "use another port"] {
        assert!(second.stderr.contains(part), "{}", second.stderr);
    }
}

#[test]
fn beyond_loopback_wants_a_decision() {
    for place in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = run(&["listen", place]);
        assert_eq!(refused.code, Some(2), "{place}");
        assert!(
            refused.stderr.contains("--token-file") && refused.stderr.contains("--insecure"),
            "{refused:?}"
        );
    }
    let mut open = Process::start(&["listen", "0.0.0.0:0", "--insecure"]);
    let port = open.address().parse::<SocketAddr>().unwrap().port();
    assert_eq!(run(&["query", "--registry", &format!("127.0.0.1:{port}")]).code, Some(0));
}

#[test]
fn a_token_file_guards_it() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "s3cret").unwrap();
    let path = file.path().to_str().unwrap();
    let mut registry = Process::start(&["listen", "0.0.0.0:0", "--token-file", path]);
    let port = registry.address().parse::<SocketAddr>().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let refused = run(&["query", "--registry", &address]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("BERTH_TOKEN"), "{}", refused.stderr);
    assert_eq!(run(&["query", "--registry", &address, "--token", "s3cret"]).code, Some(0));
    // The token vouches for other addresses.
    let register =
        ["register", "db", "--port", "5432", "--host", "10.0.0.7", "--verify", "none", "--token", "s3cret"];
    assert_eq!(run(&[&register[..], &["--registry", &address]].concat()).code, Some(0));
}

#[test]
fn a_token_file_that_holds_none_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for path in [path, "/nonexistent/token"] {
        let refused = run(&["listen", "0", "--token-file", path]);
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains(path), "{}", refused.stderr);
    }
}

#[test]
fn bad_flags_are_explained() {
    for arguments in [
        &["listen"][..],
        &["listen", "x"],
        &["listen", "65536"],
        &["listen", "example.com:80"],
        &["listen", "9090", "--tokenfile", "x"],
        &["nonsense"],
        &[],
    ] {
        let refused = run(arguments);
        assert_eq!(refused.code, Some(2), "{arguments:?}");
        assert!(refused.stderr.contains("Usage") || refused.stderr.contains("--help"), "{}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
}

#[test]
fn limits_are_flags() {
    let flags = ["--max-instances", "1", "--max-name", "5", "--max-watchers", "0", "--max-body", "200"];
    let mut registry = Process::start(&[&["listen", "0"][..], &flags].concat());
    let address = registry.address();
    let register = |name: &str, more: &[&str]| {
        let rest = ["--port", "80", "--id", "a", "--verify", "none", "--registry", &address];
        run(&[&["register", name][..], &rest, more].concat())
    };
    assert_eq!(register("web", &[]).code, Some(0));
    for (refused, flag) in [
        (register("api", &[]), "--max-instances"),
        (register("longer", &[]), "--max-name"),
        (register("web", &["--meta", &format!("a={}", "x".repeat(200))]), "(413)"),
        (run(&["watch", "--registry", &address]), "--max-watchers"),
    ] {
        assert_eq!(refused.code, Some(1), "{flag}");
        assert!(refused.stderr.contains(flag), "{flag}: {}", refused.stderr);
    }
}
