//! The clients and instances of `scripts/chaos` tell the truth. `cargo test -p berth-testkit` builds them; a run of
//! this file alone does not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use berth_testkit::{Http, Listening, Signal, Wire, binary, eventually};
use serde_json::Value;

/// What the upstream sends for a request, and whether it keeps the connection. Requests are numbered from 0; of ten,
/// the first three are POSTs, and the first has a connection of its own.
fn play(number: u64, id: &str, first: bool) -> (String, bool) {
    let ok = |content: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", content.len());
    match number {
        // A large body, of which all has arrived.
        0 => (ok(&format!("{id} i0 {}\n", 100 * 1024)), true),
        1 => (String::new(), false),
        // A GET on a kept connection: answered at the second attempt.
        4 if first => (String::new(), false),
        5 => ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_owned(), true),
        6 => ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_owned(), false),
        8 => (ok("somebody else's"), true),
        9 => (format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{id} i0 0\n"), false),
        _ => (ok(&format!("{id} i0 0\n")), true),
    }
}

/// Plays upstream on a connection.
fn serve(mut wire: Wire, seen: &Mutex<BTreeSet<u64>>) {
    while let Ok(head) = wire.try_read_until(b"\r\n\r\n") {
        let head = String::from_utf8(head).unwrap();
        if let Some(length) = head.split("Content-Length: ").nth(1) {
            wire.read_exact(length.split("\r\n").next().unwrap().parse().unwrap());
        }
        if head.contains("chunked") {
            wire.read_until(b"\r\n0\r\n\r\n");
        }
        let id = head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap();
        let number = id.rsplit('-').next().unwrap().parse().unwrap();
        let first = seen.lock().unwrap().insert(number);
        let (answer, is_kept) = play(number, id, first);
        if !wire.try_send(answer) || !is_kept {
            return;
        }
    }
}

fn load(target: SocketAddr, rate: &str) -> Vec<Value> {
    let mut child = Command::new(binary("examples/steady"))
        .args([
            "load",
            "--rate",
            rate,
            "--seconds",
            "1",
            "--slow",
            "0",
            "--kept",
            "1",
            "--target",
            &target.to_string(),
        ])
        // Its end would be the end of the load.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let printed = BufReader::new(child.stdout.take().unwrap());
    let lines = printed.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(child.wait().unwrap().success());
    lines
}

fn failures(lines: &[Value]) -> Vec<(u64, &str)> {
    let failed = lines.iter().filter(|line| line["event"] == "failed");
    let number = |line: &Value| line["id"].as_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
    let mut found: Vec<_> = failed.map(|line| (number(line), line["kind"].as_str().unwrap())).collect();
    found.sort_unstable();
    found
}

#[test]
fn clients_count_what_they_see() {
    let listening = Listening::start();
    let target = listening.address();
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    std::thread::spawn(move || {
        loop {
            let (wire, seen) = (listening.accept(), Arc::clone(&seen));
            std::thread::spawn(move || serve(wire, &seen));
        }
    });
    let lines = load(target, "10");
    assert_eq!(failures(&lines), [(1, "closed"), (5, "status-502"), (6, "broken"), (8, "wrong")]);
    let sum = lines.last().unwrap();
    assert_eq!(sum["event"], "sum");
    assert_eq!((&sum["ok"], &sum["failed_get"], &sum["failed_post"]), (&6.into(), &3.into(), &1.into()));
    assert_eq!((&sum["fresh"], &sum["resent"]), (&1.into(), &1.into()));
}

#[test]
fn clients_go_on_asking_where_nobody_listens() {
    let gone = Listening::start().address();
    let lines = load(gone, "20");
    assert_eq!(failures(&lines).iter().filter(|(_, kind)| *kind == "refused").count(), 20);
}

/// An instance; it ends with the test.
struct Instance {
    child: Child,
    address: SocketAddr,
    notes: tempfile::TempDir,
}

impl Instance {
    fn start() -> Self {
        let notes = tempfile::tempdir().unwrap();
        let mut command = Command::new(binary("examples/steady"));
        command.args(["serve", "--name", "i0", "--notes"]).arg(notes.path().join("notes"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().strip_prefix("listening ").expect("a port").parse().unwrap();
        Self { child, address: ([127, 0, 0, 1], port).into(), notes }
    }

    fn noted(&self) -> Vec<String> {
        let text = fs::read_to_string(self.notes.path().join("notes")).unwrap();
        text.lines().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect()
    }

    fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_instance_notes_a_post_before_it_does_anything_for_it() {
    let instance = Instance::start();
    let mut http = Http::connect(instance.address);
    assert_eq!(http.get("/g/one").text(), "one i0 0\n");
    assert_eq!(http.send("POST", "/p/two", "", b"body").text(), "two i0 0\n");
    // Its body never comes, and it is noted all the same.
    http.wire.send("POST /p/three HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n");
    eventually("the third is noted", || (instance.noted() == ["two", "three"]).then_some(()));
}

#[test]
fn an_instance_that_is_asked_to_end_finishes_what_it_has_begun() {
    let mut instance = Instance::start();
    let mut http = Http::connect(instance.address);
    http.wire.send("POST /p/one HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\n");
    eventually("it is noted", || (instance.noted() == ["one"]).then_some(()));
    instance.signal(Signal::TERM);
    eventually("nobody else gets in", || TcpStream::connect(instance.address).is_err().then_some(()));
    http.wire.send("body");
    let last = http.read_answer();
    assert_eq!((last.text(), last.field("Connection")), ("one i0 0\n", Some("close")));
    http.wire.expect_end();
    let status = eventually("its end", || instance.child.try_wait().unwrap());
    assert!(status.success());
}
