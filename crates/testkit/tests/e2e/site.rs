//! A registry, a balancer and some servers, as a person would start them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use berth_testkit::{Http, Process, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// What a server answers, but for its port.
const SUM: &str = "4999950000 from port ";

/// A port that is free at the moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

pub(crate) fn registry() -> Process {
    Process::start("registry", &["listen", "0"])
}

pub(crate) fn registry_at(port: u16) -> Process {
    Process::start("registry", &["listen", &port.to_string()])
}

pub(crate) fn server(registry: &str) -> Process {
    Process::start("server", &["--registry", registry])
}

/// A server with the same id over its restarts, and a link that the registry knows.
pub(crate) fn linked_server(registry: &str, more: &[&str]) -> Process {
    let server = Process::start("server", &[&["--registry", registry][..], more].concat());
    server.wait_for_line(&["linked"]);
    server
}

/// What the registry lists of a service: the port and whether it drains, by id.
pub(crate) fn listed(registry: SocketAddr, service: &str) -> BTreeMap<String, (u64, bool)> {
    let answer = Http::once(registry, &format!("/v1/services/{service}"));
    let found: Value = serde_json::from_str(answer.text()).unwrap();
    let instances = found["instances"].as_array().unwrap().iter();
    let entry = |instance: &Value| {
        let id = instance["id"].as_str().unwrap().to_owned();
        (id, (instance["port"].as_u64().unwrap(), instance["draining"].as_bool().unwrap()))
    };
    instances.map(entry).collect()
}

/// Changes an instance as an operator does.
pub(crate) fn patch(registry: SocketAddr, instance: &str, body: &str) {
    let (service, id) = instance.split_once('/').unwrap();
    let fields = "Host: localhost\r\nContent-Type: application/json\r\n";
    let path = format!("/v1/services/{service}/instances/{id}");
    // On a starved machine a registry that stood still for a second takes no writes for another.
    eventually("the change is taken", || {
        let answer = Http::connect(registry).send("PATCH", &path, fields, body.as_bytes());
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
        (answer.status == 200).then_some(())
    });
}

/// A server whose lease ends as early as leases may.
pub(crate) fn short_lived_server(registry: &str) -> Process {
    Process::start("server", &["--registry", registry, "--ttl", "2"])
}

pub(crate) fn balancer(registry: &str) -> Balancer {
    Balancer::start(&["--registry", registry])
}

/// A balancer and its two addresses.
pub(crate) struct Balancer {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Balancer {
    pub(crate) fn start(more: &[&str]) -> Self {
        Self::start_with(more, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn start_with(more: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut arguments = vec!["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--threads", "2"];
        arguments.extend(more);
        let process = Process::start_with("balancer", &arguments, variables);
        let admin = process.address_in("admin port listening");
        let address = process.address();
        Self { process, address, admin }
    }

    /// The value of one of its metrics.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let metrics = Http::once(self.admin, "/metrics");
        metrics.text().lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Waits until it has so many endpoints to choose from.
    pub(crate) fn wait_for_endpoints(&self, count: usize) {
        eventually(&format!("{count} endpoints"), || {
            (self.metric("balancer_endpoints ") == Some(count as f64)).then_some(())
        });
    }
}

/// A file that a balancer reads.
pub(crate) struct File {
    _folder: TempDir,
    path: PathBuf,
}

impl File {
    pub(crate) fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("balancer.yaml");
        fs::write(&path, text).unwrap();
        Self { _folder: folder, path }
    }

    /// Replaced whole, as careful editors do.
    pub(crate) fn set(&self, text: &str) {
        let next = self.path.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, &self.path).unwrap();
    }

    pub(crate) fn balancer(&self) -> Balancer {
        Balancer::start(&["-c", self.path.to_str().unwrap()])
    }

    /// A balancer that keeps its state in this folder.
    pub(crate) fn balancer_at_home(&self, home: &Path) -> Balancer {
        let variables = [("BERTH_STATE", ""), ("XDG_STATE_HOME", home.to_str().unwrap())];
        Balancer::start_with(&["-c", self.path.to_str().unwrap()], &variables)
    }
}

/// The port in a server's answer.
pub(crate) fn port_of(text: &str) -> u16 {
    let port = text.strip_prefix(SUM).unwrap_or_else(|| panic!("not a server's answer: {text:?}"));
    port.trim_end().parse().expect("a port")
}

/// Which server answered how many of so many requests, over four connections in turn.
pub(crate) fn count_answers(address: SocketAddr, requests: usize) -> BTreeMap<u16, usize> {
    let mut connections: Vec<Http> = (0..4).map(|_| Http::connect(address)).collect();
    let mut counts = BTreeMap::new();
    for request in 0..requests {
        let answer = connections[request % 4].get("/");
        assert_eq!(answer.status, 200, "{}", answer.text());
        *counts.entry(port_of(answer.text())).or_default() += 1;
    }
    counts
}

/// GETs that go on until it is dropped or stopped: on each of so many kept-alive connections, one after the other.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, connections: usize) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let threads = 4;
        let threads = (0..threads)
            .map(|_| {
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                std::thread::spawn(move || work(address, connections / threads, &stop, &answered))
            })
            .collect();
        Self { stop, answered, threads }
    }

    /// Waits until so many more requests have been answered.
    pub(crate) fn wait_for_answers(&self, more: usize) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually(&format!("{more} more answers"), || {
            (self.answered.load(Ordering::Relaxed) >= before + more).then_some(())
        });
    }

    /// Stops, and returns what failed of how many.
    pub(crate) fn stop(self) -> (Vec<String>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        (failures, self.answered.load(Ordering::Relaxed))
    }
}

fn work(address: SocketAddr, count: usize, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let mut connections: Vec<Http> = (0..count).map(|_| Http::connect(address)).collect();
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        // All connections have a request under way at once.
        for connection in &mut connections {
            connection.wire.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        }
        for connection in &mut connections {
            match connection.try_read_answer() {
                Ok(answer) if answer.status == 200 => {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(answer) => failures.push(format!("{}: {}", answer.status, answer.text())),
                // Whoever has a part of an answer cannot be given another one.
                Err(seen) => {
                    if seen.is_empty() {
                        failures.push("the connection ended without a byte".to_owned());
                    }
                    *connection = Http::connect(address);
                }
            }
        }
    }
    failures
}
