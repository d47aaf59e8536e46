//! The real binary, on port 0, with a registry that the test plays.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

use berth_testkit::{Http, Listening, PATIENCE, Signal, Wire, eventually};
use rustix::process::{Pid, kill_process};

/// A running server; it is killed when it is dropped.
struct Server {
    child: Child,
    log: Receiver<String>,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
        for variable in ["BERTH_REGISTRY", "BERTH_TOKEN", "RUST_LOG"] {
            command.env_remove(variable);
        }
        Self::run(command.args(arguments))
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (lines, log) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, log }
    }

    /// The next log line that says this.
    fn line(&self, part: &str) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap_or_else(|end| panic!("no {part:?}: {end}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    fn address(&self) -> SocketAddr {
        let line = self.line("server listening");
        line.split("addr=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        eventually("the server ends", || self.child.try_wait().unwrap())
    }

    /// Exit code, stdout and stderr of a server that ends by itself.
    fn output(mut self) -> (Option<i32>, String, String) {
        let status = self.wait();
        let mut printed = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        (status.code(), printed, self.log.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A registry played by hand: one connection, call after call.
struct Registry {
    listening: Listening,
    connection: Option<Wire>,
}

impl Registry {
    fn new() -> Self {
        Self { listening: Listening::start(), connection: None }
    }

    fn address(&self) -> String {
        self.listening.address().to_string()
    }

    /// The next call: its request line and its body.
    fn next(&mut self) -> (String, String) {
        let mut wire = self.connection.take().unwrap_or_else(|| self.listening.accept());
        let head = wire.read_head();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let body = String::from_utf8(wire.read_exact(length.unwrap_or(0))).unwrap();
        self.connection = Some(wire);
        (head.lines().next().unwrap().to_owned(), body)
    }

    fn answer(&mut self, json: &str) {
        let length = json.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        self.connection.as_mut().unwrap().send(head + json);
    }

    /// Accepts a registration of service `web`; returns its body.
    fn accept(&mut self) -> String {
        let (line, body) = self.next();
        assert!(line.starts_with("PUT /v1/services/web/instances/one HTTP"), "{line}");
        self.answer(
            r#"{"instance": {"service": "web", "id": "one", "run": "5", "host": "127.0.0.1", "port": 80,
                "weight": 1, "ttl_s": 15}, "revision": "00000000000000aa-1", "renew_s": 3000}"#,
        );
        body
    }
}

/// An address where nobody listens.
const NOWHERE: &[&str] = &["--registry", "127.0.0.1:1"];

#[test]
fn it_answers_every_method_and_path_on_one_connection() {
    let server = Server::start(NOWHERE);
    let address = server.address();
    let expected = format!("4999950000 from port {}\n", address.port());
    let mut http = Http::connect(address);
    for path in ["/", "/any/where?at=all", "/%20"] {
        let answer = http.get(path);
        assert_eq!((answer.status, answer.text()), (200, &*expected), "{path}");
        assert_eq!(answer.field("connection"), None);
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
        let answer = http.send(method, "/pot", "", &[b'x'; 200_000]);
        assert_eq!((answer.status, answer.text()), (200, &*expected), "{method}");
    }
    http.wire
        .send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(http.read_answer().text(), expected);
    http.wire.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = http.wire.read_head();
    assert!(head.contains(&format!("content-length: {}", expected.len())), "{head}");
    assert_eq!(http.get("/after/head").text(), expected);

    let line = server.line("path=\"/after/head\"");
    assert!(line.contains("INFO") && line.contains("method=GET") && line.contains("time_ms="), "{line}");
}

#[test]
fn work_and_delay_are_what_was_asked_for() {
    let arguments = ["--work", "2000000", "--delay", "1ms", "--registry", "127.0.0.1:1"];
    let server = Server::start(&arguments);
    let address = server.address();
    let answer = Http::once(address, "/");
    assert_eq!(answer.text(), format!("1999999000000 from port {}\n", address.port()));
    let server = Server::start(&["--work", "0", "--registry", "127.0.0.1:1"]);
    assert!(Http::once(server.address(), "/").text().starts_with("0 from port "));
}

#[test]
fn it_listens_on_both_families() {
    let server = Server::start(NOWHERE);
    let port = server.address().port();
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert_eq!(Http::once(format!("[::1]:{port}").parse().unwrap(), "/").status, 200);
    }
    assert_eq!(Http::once(format!("127.0.0.1:{port}").parse().unwrap(), "/").status, 200);
}

#[test]
fn it_registers_and_on_sigterm_says_goodbye_before_it_stops() {
    let mut registry = Registry::new();
    let arguments =
        ["--name", "web@1.2.3", "--id", "one", "--meta", "color=blue", "--ttl", "9", "--registry"];
    let mut server = Server::start(&[&arguments[..], &[&registry.address()]].concat());
    let address = server.address();
    let body = registry.accept();
    for part in [
        r#""version":"1.2.3""#,
        r#""host":"127.0.0.1""#,
        &format!(r#""port":{}"#, address.port()),
        r#""meta":{"color":"blue"}"#,
        r#""ttl_s":9.0"#,
    ] {
        assert!(body.contains(part), "no {part} in {body}");
    }
    server.line(" registered ");

    // A request that is under way: the server asks for its body, and does not get it yet.
    let mut running = Http::connect(address);
    running.wire.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert!(running.wire.read_head().contains(" 100 "));
    let mut idle = Http::connect(address);
    assert_eq!(idle.get("/").field("connection"), None);

    server.signal(Signal::TERM);
    let (line, _) = registry.next();
    assert!(line.starts_with("DELETE /v1/services/web/instances/one?run="), "{line}");
    // Whoever has not heard of it yet is served, and sent away.
    for answer in [Http::once(address, "/new"), idle.get("/kept")] {
        assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    }
    idle.wire.expect_end();
    registry.answer("{}");
    server.line("deregistered");

    // What runs is finished, however late.
    eventually("no more connections are accepted", || {
        std::net::TcpStream::connect(address).is_err().then_some(())
    });
    assert!(server.child.try_wait().unwrap().is_none(), "it waits for the request that runs");
    running.wire.send("abcde");
    let answer = running.read_answer();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn it_waits_for_the_registry_and_says_so_once() {
    let mut registry = Registry::new();
    let arguments = ["--name", "web", "--id", "one", "--registry", &registry.address()];
    let mut server = Server::start(&arguments);
    server.address();
    // Three tries fail, the fourth one is heard.
    for _ in 0..3 {
        drop(registry.listening.accept());
    }
    registry.accept();
    let mut before = Vec::new();
    loop {
        let line = server.log.recv_timeout(PATIENCE).unwrap();
        if line.contains(" registered ") {
            break;
        }
        before.push(line);
    }
    let away = format!("registry {} is away, trying again", registry.address());
    assert_eq!(before.iter().filter(|line| line.contains(&away)).count(), 1, "{before:#?}");
    server.signal(Signal::INT);
    registry.next();
    registry.answer("{}");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start(NOWHERE);
    let mut running = Http::connect(server.address());
    running.wire.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert!(running.wire.read_head().contains(" 100 "));
    server.signal(Signal::TERM);
    server.line("stopping");
    server.signal(Signal::INT);
    server.line("second signal");
    assert_eq!(server.wait().code(), Some(1));
}

#[test]
fn the_environment_names_registries_and_the_log_can_be_json() {
    let (mut registry, mut other) = (Registry::new(), Registry::new());
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    command.env("BERTH_REGISTRY", format!("{},http://{}", registry.address(), other.address()));
    command.env_remove("RUST_LOG").env_remove("BERTH_TOKEN");
    let server = Server::run(command.args(["--name", "web", "--id", "one", "--log-format", "json"]));
    let line = server.line("server listening");
    assert!(line.starts_with('{') && line.contains("\"addr\":\"127.0.0.1:"), "{line}");
    assert_eq!(registry.accept(), other.accept(), "both see the same instance");
}

#[test]
fn bad_flags_end_with_2_and_say_how_to_write_them() {
    let cases: [(&[&str], &str); 9] = [
        (&["--nonsense"], "--nonsense"),
        (&["--port", "70000"], "70000"),
        (&["--registry", "9090"], "localhost:9090"),
        (&["--registry", "https://localhost"], "scheme"),
        (&["--name", "web@1"], "1.2.3"),
        (&["--delay", "soon"], "50ms"),
        (&["--ttl", "1"], "2 to 3600"),
        (&["--meta", "color"], "color=blue"),
        (&["--token", "a\nb"], "printable"),
    ];
    for (arguments, part) in cases {
        let (code, _, log) = Server::start(arguments).output();
        assert_eq!(code, Some(2), "{arguments:?}: {log}");
        assert!(log.contains(part), "{arguments:?}: {log}");
    }
}

#[test]
fn help_has_examples() {
    let (code, printed, _) = Server::start(&["--help"]).output();
    assert_eq!(code, Some(0));
    assert!(printed.contains("Examples:\n  server"), "{printed}");
}

#[test]
fn a_port_in_use_ends_with_1_and_names_the_mend() {
    let taken = Listening::start();
    let port = taken.address().port().to_string();
    let (code, _, log) = Server::start(&["--port", &port]).output();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&format!("port {port} is in use")) && log.contains("--port"), "{log}");
}
