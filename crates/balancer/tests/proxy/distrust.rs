//! Upstreams that fail to prove who they are: a 502, and the reason in the log.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use berth_testkit::{Http, Listening, Process, SteadyUpstream, eventually};

use crate::harness::{Balancer, SOON, get, ok};
use crate::secure::{Authority, Secure};

const SENTENCE: &str = "No secure connection to the upstream came about.\n";

/// Something that goes on in a thread until it is dropped.
struct Going {
    stop: Arc<AtomicBool>,
}

impl Going {
    fn on(mut step: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stops = Arc::clone(&stop);
        thread::spawn(move || {
            while !stops.load(Ordering::Relaxed) {
                step();
                thread::yield_now();
            }
        });
        Self { stop }
    }

    /// Shakes hands with whoever comes, and answers what they ask.
    fn serving(upstream: Secure, answer: String) -> Self {
        Self::on(move || {
            if let Some(mut wire) = upstream.try_accept() {
                let answer = answer.clone();
                thread::spawn(move || {
                    while wire.skips_head() {
                        wire.send(&answer);
                    }
                });
            }
        })
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A process in front of `https://HOST:PORT` tells a client nothing and its log this reason.
fn assert_distrusted(host: &str, upstream: SocketAddr, authority: &Authority, reason: &str) {
    let url = format!("https://{host}:{}", upstream.port());
    let file = authority.file();
    let arguments = ["--listen", "127.0.0.1:0", "--admin", "none", "--threads", "1"];
    let named = ["--upstream", &url, "--upstream-ca", file.to_str().unwrap()];
    let balancer = Process::start("balancer", &[&arguments[..], &named].concat());
    let address = balancer.address();
    // Until it has looked the name up there is nobody.
    let answer = eventually("an answer", || {
        let answer = Http::once(address, "/");
        (answer.status != 503).then_some(answer)
    });
    assert_eq!((answer.status, answer.text()), (502, SENTENCE));
    let line = balancer.wait_for_line(&["WARN", "TLS to the upstream failed", reason]);
    assert!(line.contains(&upstream.to_string()) && line.contains(host), "{line}");
}

#[test]
fn a_certificate_for_somebody_else() {
    let authority = Authority::new();
    let upstream = Secure::start(authority.vouch(&["other.example"], |_| {}));
    let address = upstream.address();
    let _going = Going::serving(upstream, ok("x"));
    assert_distrusted("localhost", address, &authority, "not valid for name");
    // A name in it does not vouch for an address.
    assert_distrusted("127.0.0.1", address, &authority, "not valid for name");
}

#[test]
fn a_certificate_of_an_authority_that_is_not_trusted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let upstream = Secure::local(&other);
    let address = upstream.address();
    let _going = Going::serving(upstream, ok("x"));
    assert_distrusted("localhost", address, &authority, "UnknownIssuer");
}

#[test]
fn a_certificate_that_is_over() {
    let authority = Authority::new();
    let upstream = Secure::start(authority.vouch(&["localhost"], |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }));
    let address = upstream.address();
    let _going = Going::serving(upstream, ok("x"));
    assert_distrusted("localhost", address, &authority, "expired");
}

#[test]
fn a_server_that_knows_no_tls() {
    let authority = Authority::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            // Closed at once it would be a reset.
            thread::spawn(move || std::io::copy(&mut socket, &mut std::io::sink()));
        }
    });
    assert_distrusted("localhost", address, &authority, "corrupt message");
}

#[test]
fn a_server_that_closes_in_the_handshake() {
    let authority = Authority::new();
    let upstream = Listening::start();
    let address = upstream.address();
    let _going = Going::on(move || {
        if let Some(mut wire) = upstream.try_accept() {
            // The client's first record, as far as its length.
            if wire.try_read_until(&[22, 3, 1]).is_ok() {
                wire.finish();
                thread::spawn(move || wire.read_to_end());
            }
        }
    });
    assert_distrusted("localhost", address, &authority, "eof");
}

#[test]
fn a_server_that_falls_silent_in_the_handshake() {
    let authority = Authority::new();
    let upstream = Listening::start();
    let mut settings = authority.settings(&[("127.0.0.1", upstream.address())]);
    settings.proxy.timeouts.connect = SOON;
    let balancer = Balancer::start(settings);
    let mut client = balancer.http();
    client.wire.send(get("/"));
    let mut server = upstream.accept();
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.text()), (502, SENTENCE));
    assert_eq!(answer.field("Connection"), None);
    server.read_to_end();
    balancer.wait_for_metric("connects_failed_total", 1.0);
    balancer.wait_for_metric("failures_total{side=\"upstream\"}", 1.0);
}

#[test]
fn whoever_is_trusted_serves() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (good, bad) = (Secure::local(&authority), Secure::local(&other));
    let addresses = [("localhost", bad.address()), ("localhost", good.address())];
    let _going = [Going::serving(good, ok("good")), Going::serving(bad, ok("bad"))];
    let balancer = Balancer::start(authority.settings(&addresses));
    let mut client = balancer.http();
    for _ in 0..6 {
        // Nothing was sent to the one that is not, so whatever is asked can be asked of the other.
        let answer = client.send("POST", "/", "", b"hello");
        assert_eq!((answer.status, answer.text()), (200, "good"));
    }
    // It was tried, and asked once more: since then it is out.
    balancer.wait_for_metric("endpoint_states{state=\"ejected\"}", 1.0);
    assert!(balancer.metric("connects_failed_total") >= 1.0);
    assert_eq!(balancer.metric("failures_total"), 0.0);
}

#[test]
fn a_plain_one_serves_beside_one_that_is_not_trusted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (plain, bad) = (SteadyUpstream::saying("plain"), Secure::local(&other));
    let mut settings = crate::harness::settings(&[plain.address()]);
    let own = authority.settings(&[("localhost", bad.address())]);
    let servers = own.routing.backends[0].servers.clone();
    settings.routing.backends[0].servers.extend(servers);
    settings.proxy.tls = own.proxy.tls;
    let _going = Going::serving(bad, ok("bad"));
    let balancer = Balancer::start(settings);
    for _ in 0..4 {
        assert_eq!(Http::once(balancer.address, "/").text(), "plain");
    }
}

#[test]
fn a_file_without_certificates_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let missing = folder.path().join("missing.pem");
    for file in [&empty, &missing] {
        let file = file.to_str().unwrap();
        let arguments = ["--upstream", "https://localhost", "--upstream-ca", file];
        let (code, _, log) = Process::start("balancer", &arguments).output();
        assert!(code == Some(2) && log.contains("PEM") && log.contains(file), "{code:?}: {log}");
    }
}
