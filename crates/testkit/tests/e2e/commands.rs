//! Command lines: what is wrong is said, in one helpful line, with the right exit code.

use berth_testkit::{Listening, Process};

use crate::site::{Balancer, balancer, registry, server};

#[test]
fn bad_flags_end_with_2_and_say_why() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("balancer", &["--nonsense"], "--nonsense"),
        ("balancer", &["--listen", "nowhere"], "write a port or an address and a port"),
        ("balancer", &["--port", "70000"], "70000"),
        ("balancer", &["--registry", "host:port"], "localhost:9090"),
        ("balancer", &["--service", "web@not.a.range"], "not.a.range"),
        ("balancer", &["--upstream", "http://localhost:3000/api"], "path"),
        ("balancer", &["--upstream", "ftp://localhost"], "scheme"),
        ("balancer", &["--timeout-head", "soon"], "10s"),
        ("balancer", &["--max-head", "64KiBB"], "64KiB"),
        ("balancer", &["--threads", "0"], "--threads"),
        ("balancer", &["--trusted-proxies", "10.0.0.0/99"], "10.0.0.0/99"),
        ("balancer", &["--admin", "0.0.0.0:0"], "--token"),
        ("balancer", &["--token", "two words"], "token"),
        ("registry", &["listen", "nowhere"], "nowhere"),
        ("registry", &["listen", "0.0.0.0:0"], "--token-file"),
        ("registry", &["serve"], "serve"),
        ("registry", &[], "Usage"),
        ("registry", &["query", "web@not.a.range"], "not.a.range"),
        ("server", &["--name", "web@1"], "1.2.3"),
        ("server", &["--port", "x"], "--port"),
        ("server", &["--nonsense"], "--nonsense"),
    ];
    for (name, arguments, helpful) in cases {
        let (code, _, log) = Process::start(name, arguments).output();
        assert_eq!(code, Some(2), "{name} {arguments:?}: {log}");
        assert!(log.contains(helpful), "{name} {arguments:?} does not say {helpful:?}: {log}");
    }
}

#[test]
fn help_and_version_are_there_for_each() {
    for (name, flag, part) in [
        ("balancer", "--help", "Examples:"),
        ("registry", "--help", "Examples:"),
        ("server", "--help", "Examples:"),
        ("balancer", "--version", "balancer 0."),
        ("registry", "--version", "registry 0."),
        ("server", "--version", "server 0."),
    ] {
        let (code, printed, log) = Process::start(name, &[flag]).output();
        assert_eq!(code, Some(0), "{name} {flag}: {log}");
        assert!(printed.contains(part), "{name} {flag}: {printed}");
    }
}

#[test]
fn a_port_in_use_ends_with_1_and_says_which() {
    let taken = Listening::start();
    let address = taken.address().to_string();
    let port = taken.address().port().to_string();
    let cases: [(&str, &[&str]); 4] = [
        ("balancer", &["--listen", &address, "--admin", "none"]),
        ("balancer", &["--port", &port, "--admin", "none"]),
        ("registry", &["listen", &port]),
        ("server", &["--port", &port]),
    ];
    for (name, arguments) in cases {
        let (code, _, log) = Process::start(name, arguments).output();
        assert_eq!(code, Some(1), "{name} {arguments:?}: {log}");
        assert!(log.contains(&port) && log.contains("in use"), "{name} {arguments:?}: {log}");
    }
}

#[test]
fn a_port_that_another_balancer_holds_is_in_use() {
    let registry = registry();
    let first = balancer(&registry.address().to_string());
    let address = first.address.to_string();
    let (code, _, log) = Process::start("balancer", &["--listen", &address, "--admin", "none"]).output();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&address) && log.contains("in use"), "{log}");
}

#[test]
fn an_admin_port_in_use_is_fatal_only_if_it_was_asked_for() {
    let taken = Listening::start();
    let address = taken.address().to_string();
    let arguments = ["--listen", "127.0.0.1:0", "--admin", &address, "--upstream", "127.0.0.1:1"];
    let (code, _, log) = Process::start("balancer", &arguments).output();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&address) && log.contains("--admin none"), "{log}");
    // Whether 9099 is free here is not ours to say: it starts in either case.
    let balancer = Process::start("balancer", &["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"]);
    balancer.address();
}

#[test]
fn a_bare_admin_port_is_on_loopback() {
    let arguments = ["--listen", "127.0.0.1:0", "--admin", "0", "--upstream", "127.0.0.1:1"];
    let balancer = Process::start("balancer", &arguments);
    let line = balancer.wait_for_line(&["admin port listening"]);
    assert!(line.contains("addr=127.0.0.1:"), "{line}");
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    for (name, arguments) in [
        ("balancer", &["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"][..]),
        ("server", &[][..]),
        ("registry", &["query"][..]),
    ] {
        let home = tempfile::tempdir().unwrap();
        let variables = [
            ("BERTH_REGISTRY", ""),
            ("BERTH_TOKEN", ""),
            ("BERTH_STATE", ""),
            ("XDG_STATE_HOME", home.path().to_str().unwrap()),
        ];
        let process = Process::start_with(name, arguments, &variables);
        if name == "registry" {
            let (code, _, log) = process.output();
            assert!(code == Some(0) || log.contains("localhost:9090"), "{log}");
        } else {
            process.address();
        }
    }
}

#[test]
fn an_access_log_that_nobody_reads_does_not_hold_up_the_end() {
    let upstream = berth_testkit::SteadyUpstream::saying("hello");
    let address = upstream.address().to_string();
    let mut balancer = Balancer::start(&["--upstream", &address, "--access-log", "-"]);
    balancer.wait_for_endpoints(1);
    let mut client = berth_testkit::Http::connect(balancer.address);
    // More than a pipe holds.
    let path = format!("/{}", "x".repeat(4000));
    for _ in 0..200 {
        client.get(&path);
    }
    balancer.process.stop(berth_testkit::Signal::TERM);
    balancer.process.wait_for_line(&["its last lines are lost"]);
}

#[test]
fn the_access_log_tells_where_each_request_went() {
    let registry = registry();
    let address = registry.address().to_string();
    let server = server(&address);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let balancer = Balancer::start(&["--registry", &address, "--access-log", file.to_str().unwrap()]);
    balancer.wait_for_endpoints(1);
    berth_testkit::Http::once(balancer.address, "/some/path?q=1");
    let line = berth_testkit::eventually("a line", || {
        std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'))
    });
    assert!(line.contains("\"GET /some/path?q=1 HTTP/1.1\" 200"), "{line}");
    assert!(line.contains(&format!("127.0.0.1:{}", server.address().port())), "{line}");
}
