//! Time in which the registry stood still ages nobody, and neither does a wall clock that jumps.

use std::path::PathBuf;

use berth_testkit::{Http, Process, Signal, eventually};

use crate::site::{linked_server, listed, registry};

/// The library that lies to a process about the time, where Debian's package `faketime` puts it.
fn faketime() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let candidates = places.map(|place| place.join("faketime/libfaketime.so.1"));
    candidates
        .into_iter()
        .find(|path| path.exists())
        .expect("the package faketime, which scripts/test installs")
}

#[test]
fn a_registry_that_stood_still_evicts_nobody_who_renews() {
    let registry = registry();
    let address = registry.address();
    let servers: Vec<Process> =
        (0..4).map(|_| linked_server(&address.to_string(), &["--ttl", "2"])).collect();
    // Something else measures the time: the life of a lease at another registry, twice.
    let clock = crate::site::registry();
    registry.freeze();
    for _ in 0..2 {
        let timed = linked_server(&clock.address().to_string(), &["--ttl", "2", "--name", "clock"]);
        timed.freeze();
        let ends = || clock.lines().iter().filter(|line| line.contains("expired")).count();
        let before = ends();
        eventually("a lease's life", || (ends() > before).then_some(()));
    }
    registry.signal(Signal::CONT);
    // Two more lives of a lease, in which everybody could be evicted.
    for _ in 0..2 {
        let timed = linked_server(&clock.address().to_string(), &["--ttl", "2", "--name", "clock"]);
        timed.freeze();
        let ends = || clock.lines().iter().filter(|line| line.contains("expired")).count();
        let before = ends();
        eventually("a lease's life", || (ends() > before).then_some(()));
    }
    assert_eq!(listed(address, "server").len(), servers.len());
    let left: Vec<String> =
        registry.lines().into_iter().filter(|line| line.contains("instance left")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_write_that_waited_in_the_socket_is_refused_and_a_renewal_is_not() {
    let registry = registry();
    let address = registry.address();
    let service = berth_testkit::SteadyUpstream::saying("web");
    let fields = "Host: localhost\r\nContent-Type: application/json\r\n";
    let body = format!(r#"{{"port": {}, "run": "5"}}"#, service.address().port());
    let path = "/v1/services/web/instances/a";
    let mut writer = Http::connect(address);
    eventually("registered", || {
        (writer.send("PUT", path, fields, body.as_bytes()).status == 201).then_some(())
    });
    let clock = crate::site::registry();
    registry.freeze();
    let mut late = [Http::connect(address), Http::connect(address)];
    late[0].wire.send(format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    late[1].wire.send(format!("PUT {path}/lease?run=5 HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let timed = linked_server(&clock.address().to_string(), &["--ttl", "2", "--name", "clock"]);
    timed.freeze();
    clock.wait_for_line(&["expired"]);
    registry.signal(Signal::CONT);
    let refused = late[0].read_answer();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.field("Retry-After").is_some() && refused.text().contains("stood still"));
    assert_eq!(late[1].read_answer().status, 200);
    assert_eq!(listed(address, "web").len(), 1);
}

#[test]
fn a_wall_clock_that_jumps_evicts_nobody() {
    let offset = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(offset.path(), "+0").unwrap();
    let library = faketime();
    let variables = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", offset.path().to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let registry = Process::start_with("registry", &["listen", "0"], &variables);
    let address = registry.address();
    let _servers: Vec<Process> =
        (0..3).map(|_| linked_server(&address.to_string(), &["--ttl", "2"])).collect();
    for jump in ["+1d", "-1d", "+400d"] {
        std::fs::write(offset.path(), jump).unwrap();
        // The log's own times show that the jump has arrived; then a lease lives its whole life, and ends.
        let name = format!("clock{}", jump.len() + registry.lines().len());
        let timed = linked_server(&address.to_string(), &["--ttl", "2", "--name", &name]);
        timed.freeze();
        let line = registry.wait_for_line(&["instance left", &format!("service={name}"), "expired"]);
        let joined = registry.wait_for_line(&["instance joined", &format!("service={name}")]);
        assert_eq!(line[..10], joined[..10], "the clock jumps before it and not after");
    }
    let days: std::collections::BTreeSet<String> =
        registry.lines().iter().map(|line| line[..10].to_owned()).collect();
    assert!(days.len() >= 3, "the clock did jump: {days:?}");
    assert_eq!(listed(address, "server").len(), 3);
    let left = registry.lines().into_iter().filter(|line| line.contains("left") && line.contains("=server "));
    assert_eq!(left.count(), 0);
}
