//! WebSockets through the balancer, with a client and a server that somebody else wrote.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use berth_testkit::{Http, PATIENCE, Process, eventually};

use crate::site::{Balancer, patch, registry};

/// Debian's own, which finds Debian's packages.
const PYTHON: &str = "/usr/bin/python3";

/// A Python program: what it prints is read line by line.
struct Python {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Python {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let found = Command::new(PYTHON).args(["-c", "import websockets"]).output();
        assert!(
            found.is_ok_and(|found| found.status.success()),
            "{PYTHON} has no module websockets: install Debian's package python3-websockets"
        );
        let file = format!("{}/tests/e2e/{program}.py", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new("timeout");
        // Nothing here waits for ever.
        command.arg((8 * PATIENCE).as_secs().to_string()).arg(PYTHON).arg(file).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python");
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { input: child.stdin.take(), child, output }
    }

    /// A server, and where it listens.
    fn server() -> (Self, SocketAddr) {
        let mut server = Self::start("chat_server", &[]);
        let port: u16 = server.line().parse().expect("a port");
        (server, SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// A client that is connected.
    fn client(balancer: &Balancer) -> Self {
        let mut client = Self::start("chat_client", &["one", &url(balancer)]);
        assert_eq!(client.line(), "open");
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn say(&mut self, words: &str) {
        writeln!(self.input.as_mut().unwrap(), "{words}").expect("say");
    }

    /// Says something and hears it again.
    fn talk(&mut self, words: &str) {
        self.say(words);
        assert_eq!(self.line(), words);
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself; `timeout` passes the signal on.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").arg(id).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

fn url(balancer: &Balancer) -> String {
    format!("ws://{}/chat?room=1", balancer.address)
}

fn balancer_over(address: SocketAddr) -> Balancer {
    let balancer = Balancer::start(&["--upstream", &address.to_string()]);
    balancer.wait_for_endpoints(1);
    balancer
}

fn wait_for(balancer: &Balancer, metric: &str, value: f64) {
    eventually(metric, || (balancer.metric(metric) == Some(value)).then_some(()));
}

#[test]
fn two_hundred_at_once_with_messages_of_up_to_a_mebibyte() {
    let (_server, address) = Python::server();
    let balancer = balancer_over(address);
    let mut client = Python::start("chat_client", &["many", &url(&balancer), "200"]);
    assert_eq!(client.line(), (200 * 11).to_string(), "so many messages came back");
    assert!(client.child.wait().unwrap().success());
    wait_for(&balancer, "balancer_tunnels_total ", 200.0);
    wait_for(&balancer, "balancer_tunnels_open ", 0.0);
}

#[test]
fn pings_and_the_reasons_of_an_end_pass_both_ways() {
    let (_server, address) = Python::server();
    let balancer = balancer_over(address);
    let mut client = Python::client(&balancer);
    client.talk("hello");
    client.say("ping me");
    assert_eq!(client.line(), "you are there");
    // The server ends it.
    client.say("close 4000 go away");
    assert_eq!(client.line(), "closed 4000 go away");
    // The client does.
    let mut client = Python::client(&balancer);
    client.talk("hello");
    client.say("");
    assert_eq!(client.line(), "closed 4001 enough");
    wait_for(&balancer, "balancer_tunnels_open ", 0.0);
}

/// Registers the server by hand, with a lease that nobody renews.
fn register(registry: &Process, server: SocketAddr, ttl_s: u32) {
    let body = format!(r#"{{"port":{},"ttl_s":{ttl_s}}}"#, server.port());
    let fields = "Host: localhost\r\nContent-Type: application/json\r\n";
    let path = "/v1/services/chat/instances/a";
    let answer = Http::connect(registry.address()).send("PUT", path, fields, body.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// A tunnel to a registered server: it is open before, and after this has happened to the endpoint.
fn assert_survives(ttl_s: u32, happens: impl FnOnce(&Process, &Balancer)) {
    let registry = registry();
    let (_server, address) = Python::server();
    let balancer = Balancer::start(&["--registry", &registry.address().to_string()]);
    register(&registry, address, ttl_s);
    balancer.wait_for_endpoints(1);
    let mut client = Python::client(&balancer);
    client.talk("before");
    happens(&registry, &balancer);
    client.talk("after");
    client.say("ping me");
    assert_eq!(client.line(), "you are there");
    wait_for(&balancer, "balancer_tunnels_open ", 1.0);
    client.say("");
    assert_eq!(client.line(), "closed 4001 enough");
}

fn nobody_else_gets_there(balancer: &Balancer) {
    balancer.wait_for_endpoints(0);
    assert_eq!(Http::once(balancer.address, "/").status, 503);
}

#[test]
fn a_drain_does_not_cut_a_tunnel() {
    assert_survives(3600, |registry, balancer| {
        patch(registry.address(), "chat/a", r#"{"draining":true}"#);
        nobody_else_gets_there(balancer);
    });
}

#[test]
fn the_end_of_a_lease_does_not_cut_a_tunnel() {
    assert_survives(2, |_, balancer| {
        balancer.process.wait_for_line(&["endpoint unconfirmed", "its lease ran out"]);
    });
}

#[test]
fn the_removal_of_an_instance_does_not_cut_a_tunnel() {
    assert_survives(3600, |registry, balancer| {
        let path = "/v1/services/chat/instances/a";
        let answer = Http::connect(registry.address()).send("DELETE", path, "Host: localhost\r\n", b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        balancer.process.wait_for_line(&["instance left", "removed"]);
        nobody_else_gets_there(balancer);
    });
}
