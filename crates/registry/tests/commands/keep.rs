//! The commands that stay: they hold a registration, or wait for one.

use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Process, Said, run};

struct Site {
    _registry: Process,
    address: String,
    service: TcpListener,
}

impl Site {
    fn start() -> Self {
        let mut registry = Process::start(&["listen", "127.0.0.1:0"]);
        let address = registry.address();
        Self { _registry: registry, address, service: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn port(&self) -> String {
        self.service.local_addr().unwrap().port().to_string()
    }

    fn start_command(&self, arguments: &[&str]) -> Process {
        Process::start(&[arguments, &["--registry", &self.address]].concat())
    }

    fn run(&self, arguments: &[&str]) -> Said {
        run(&[arguments, &["--registry", &self.address]].concat())
    }

    fn hold(&self, id: &str) -> Process {
        self.start_command(&[
            "register",
            "web@1.2.3",
            "--port",
            &self.port(),
            "--id",
            id,
            "--hold",
            "-o",
            "json",
        ])
    }

    fn instances(&self) -> Vec<Value> {
        let found: Value = serde_json::from_str(&self.run(&["query", "web", "-o", "json"]).stdout).unwrap();
        found["instances"].as_array().unwrap().clone()
    }
}

#[test]
fn what_is_held_is_listed_until_it_is_let_go() {
    for signal in [Signal::INT, Signal::TERM] {
        let site = Site::start();
        let mut watch = site.start_command(&["watch"]);
        let mut held = site.hold("a");
        let told: Value = serde_json::from_str(&held.line()).unwrap();
        assert_eq!((&told["id"], &told["version"]), (&"a".into(), &"1.2.3".into()));
        // As joined or as listed, whichever was first.
        assert!(watch.line().contains("web@1.2.3/a"));
        held.signal(signal);
        assert_eq!(held.wait().code(), Some(0));
        assert!(watch.line().contains("(deregistered)"));
    }
}

#[test]
fn what_held_a_link_and_died_has_crashed() {
    let site = Site::start();
    let mut watch = site.start_command(&["watch"]);
    let mut held = site.hold("a");
    held.line();
    assert!(watch.line().contains("web@1.2.3/a"));
    // The link is open when an operator's word comes through it.
    assert_eq!(site.run(&["drain", "web/a"]).code, Some(0));
    assert!(watch.line().ends_with("draining"));
    held.said("an operator changed this instance");
    drop(site.service);
    held.signal(Signal::KILL);
    assert!(watch.line().contains("(crashed)"));
}

#[test]
fn an_operator_drains_and_undrains() {
    let site = Site::start();
    let mut held = site.hold("a");
    held.line();
    assert_eq!(site.run(&["drain", "web/a"]).stdout, "web/a draining\n");
    held.said("draining=true");
    assert_eq!(site.instances()[0]["draining"], true);
    assert_eq!(site.run(&["undrain", "web", "a"]).stdout, "web/a takes requests\n");
    held.said("draining=false");
    assert_eq!(site.instances()[0]["draining"], false);
    let unknown = site.run(&["drain", "web/b"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("No such run of web/b"), "{}", unknown.stderr);
}

#[test]
fn what_an_operator_removed_ends() {
    let site = Site::start();
    let mut held = site.hold("a");
    held.line();
    assert_eq!(site.run(&["free", "web/a"]).code, Some(0));
    assert_eq!(held.wait().code(), Some(1));
    assert_eq!(site.instances(), Vec::<Value>::new());
}

#[test]
fn waiting_ends_when_a_match_comes() {
    let site = Site::start();
    let mut wait = site.start_command(&["wait", "web@1.x"]);
    let mut query = site.start_command(&["query", "web@1.x", "id", "--wait", "10m"]);
    let port = site.port();
    assert_eq!(site.run(&["register", "web@2.0.0", "--port", &port, "--id", "other"]).code, Some(0));
    assert_eq!(site.run(&["register", "web@1.0.0", "--port", &port, "--id", "a"]).code, Some(0));
    assert_eq!(wait.line(), format!("web/a at 127.0.0.1:{port}"));
    assert_eq!((query.line(), query.line()), ("ID".to_owned(), "a".to_owned()));
    assert_eq!((wait.wait().code(), query.wait().code()), (Some(0), Some(0)));
}

#[test]
fn waiting_in_vain_fails() {
    let site = Site::start();
    for arguments in [&["wait", "web", "--timeout", "50ms"], &["query", "web", "--wait", "50ms"]] {
        let said = site.run(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
        assert!(said.stderr.contains("no instance of web came within 50ms"), "{}", said.stderr);
    }
}

#[test]
fn waiting_begins_before_the_registry_does() {
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap().to_string();
    drop(place);
    let mut wait = Process::start(&["wait", "web", "--registry", &address]);
    let mut registry = Process::start(&["listen", &address]);
    registry.address();
    let register =
        ["register", "web", "--port", "80", "--id", "a", "--verify", "none", "--registry", &address];
    assert_eq!(run(&register).code, Some(0));
    assert_eq!(wait.line(), "web/a at 127.0.0.1:80");
}

#[test]
fn nobody_listens_there_is_said() {
    let site = Site::start();
    let port = site.port();
    drop(TcpListener::bind("127.0.0.1:0").unwrap());
    let Site { _registry, address, service } = site;
    drop(service);
    let refused = run(&["register", "web", "--port", &port, "--registry", &address]);
    assert_eq!(refused.code, Some(1));
    for part in [&format!("127.0.0.1:{port}"), "refuses connections", "Listen before"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
}

#[test]
fn it_says_which_routes_it_wants_held_or_not() {
    for hold in [&["--hold"][..], &[]] {
        let site = Site::start();
        let port = site.port();
        let register =
            ["register", "web", "--port", &port, "--route", "/api", "--route", "x.test/", "-o", "json"];
        let mut command = site.start_command(&[&register[..], hold].concat());
        // It is printed once it is registered.
        assert!(!command.line().is_empty());
        let listed = site.instances();
        assert_eq!(listed[0]["routes"], serde_json::json!(["/api", "x.test/"]));
    }
}
