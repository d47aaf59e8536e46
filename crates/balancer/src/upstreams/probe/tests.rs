use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use berth_model::{Identity, Run};
use berth_pick::Roster;
use berth_testkit::{Listening, PATIENCE, Refusing, Wire};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// For probes that nobody answers.
const SOON: Duration = Duration::from_millis(200);

fn endpoint(address: SocketAddr, scheme: Scheme, authority: Option<&str>) -> Arc<Endpoint> {
    let identity = Identity {
        service: "web".parse().unwrap(),
        id: "a".parse().unwrap(),
        run: Run::new(1, 1),
        scheme,
        host: address.ip(),
        port: address.port(),
    };
    Roster::default().endpoint(&identity, authority, None)
}

fn look_at(endpoint: &Endpoint, kind: &ProbeKind, timeout: Duration, tls: &UpstreamTls) -> Probed {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(probe(endpoint, kind, timeout, tls)).unwrap()
}

fn look(address: SocketAddr, kind: &ProbeKind, timeout: Duration) -> Probed {
    look_at(&endpoint(address, Scheme::Http, None), kind, timeout, &UpstreamTls::default())
}

/// What comes of a probe while this peer takes the connection.
fn probed(kind: &ProbeKind, timeout: Duration, peer: impl FnOnce(Wire) + Send) -> Probed {
    let listening = Listening::start();
    thread::scope(|scope| {
        let address = listening.address();
        scope.spawn(|| peer(listening.accept_any()));
        look(address, kind, timeout)
    })
}

/// What comes of a probe that gets these bytes, and the end of the connection.
fn told(kind: &ProbeKind, answer: &[u8]) -> Probed {
    probed(kind, PATIENCE, |mut wire| {
        wire.read_head();
        wire.try_send(answer);
    })
}

fn get(path: &str, host: Option<&str>) -> ProbeKind {
    ProbeKind::Get {
        path: path.to_owned(),
        host: host.map(str::to_owned),
        expect: vec![200..=204, 404..=404],
    }
}

fn answered(status: u16, is_expected: bool) -> Probed {
    Probed::Answered { status: Some(status), is_expected }
}

#[test]
fn it_asks_for_the_root_and_takes_any_status() {
    for status in [200, 204, 301, 404, 500, 503, 999] {
        let found = probed(&ProbeKind::Head, PATIENCE, |mut wire| {
            let head = wire.read_head();
            let host = head.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap();
            assert!(host.parse::<SocketAddr>().unwrap().ip().is_loopback());
            let rest = "User-Agent: berth-balancer\r\nConnection: close\r\n\r\n";
            assert_eq!(head, format!("HEAD / HTTP/1.1\r\nHost: {host}\r\n{rest}"));
            wire.send(format!("HTTP/1.1 {status} So\r\nContent-Length: 5\r\n\r\n"));
            // The end, and no reset.
            assert_eq!(wire.read_to_reset(), (Vec::new(), false));
        });
        assert_eq!(found, answered(status, true));
    }
}

#[test]
fn it_asks_for_a_path_and_judges_the_status() {
    for (status, is_expected) in
        [(200, true), (204, true), (404, true), (205, false), (199, false), (500, false)]
    {
        let found = probed(&get("/up?a=b", Some("a.example")), PATIENCE, |mut wire| {
            assert!(wire.read_head().starts_with("GET /up?a=b HTTP/1.1\r\nHost: a.example\r\nUser-Agent: "));
            wire.send(format!("HTTP/1.0 {status}\r\n"));
        });
        assert_eq!(found, answered(status, is_expected));
    }
}

#[test]
fn it_names_the_endpoint_as_requests_do() {
    let listening = Listening::start();
    let named = endpoint(listening.address(), Scheme::Http, Some("node.example:81"));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut wire = listening.accept_any();
            assert!(wire.read_head().starts_with("GET / HTTP/1.1\r\nHost: node.example:81\r\n"));
            wire.send("HTTP/1.1 200 \r\n");
        });
        let found = look_at(&named, &get("/", None), PATIENCE, &UpstreamTls::default());
        assert_eq!(found, answered(200, true));
    });
}

#[test]
fn a_refusal_is_told_apart() {
    let refusing = Refusing::start();
    for kind in [ProbeKind::Head, get("/", None), ProbeKind::Connect] {
        assert_eq!(look(refusing.address, &kind, PATIENCE), Probed::Refused);
    }
}

#[test]
fn a_connection_to_itself_is_none() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        assert!(is_itself(&socket.connect(address).await.unwrap()));
        let listening = Listening::start();
        assert!(!is_itself(&TcpStream::connect(listening.address()).await.unwrap()));
    });
}

#[test]
fn a_backlog_answers_nothing() {
    // As a stopped process: the kernel accepts.
    let listening = Listening::start();
    for kind in [ProbeKind::Head, get("/", None)] {
        assert_eq!(look(listening.address(), &kind, SOON), Probed::Unanswered);
        let mut wire = listening.try_accept().expect("it was connected");
        assert!(wire.read_head().ends_with("Connection: close\r\n\r\n"));
        wire.expect_end();
    }
    let connected = look(listening.address(), &ProbeKind::Connect, PATIENCE);
    assert_eq!(connected, Probed::Answered { status: None, is_expected: true });
    listening.accept_any().expect_end();
}

#[test]
fn what_ends_without_a_status_line_is_no_answer() {
    for kind in [ProbeKind::Head, get("/", None)] {
        assert_eq!(probed(&kind, PATIENCE, drop), Probed::Unanswered);
        assert_eq!(probed(&kind, PATIENCE, Wire::reset), Probed::Unanswered);
        for answer in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r"] {
            assert_eq!(told(&kind, answer.as_bytes()), Probed::Unanswered, "{answer:?}");
        }
    }
}

#[test]
fn what_is_no_http_is_no_answer() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"220 mail.example ESMTP\r\n",
        b"HTTP/2.0 200 OK\r\n",
        b"HTTP/1.2 200 OK\r\n",
        b"HTTP/1.1 099 OK\r\n",
        b"HTTP/1.1 20 OK\r\n",
        b"HTTP/1.1 2000\r\n",
        b"HTTP/1.1  200 OK\r\n",
        b"http/1.1 200 OK\r\n",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
        b"\x15\x03\x01\x00\x02\x02\x0a\r\n",
    ] {
        let found = probed(&ProbeKind::Head, PATIENCE, |mut wire| {
            wire.read_head();
            wire.send(answer);
            // It is enough: nobody waits for more.
            wire.read_to_end();
        });
        assert_eq!(found, Probed::Unanswered, "{}", answer.escape_ascii());
    }
}

#[test]
fn interim_answers_are_passed_over() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let ok = format!("{hints}HTTP/1.1 200 OK\r\n");
    assert_eq!(told(&get("/", None), ok.as_bytes()), answered(200, true));
    assert_eq!(told(&get("/", None), b"HTTP/1.1 100 \n\nHTTP/1.1 204\n"), answered(204, true));
    assert_eq!(told(&ProbeKind::Head, ok.as_bytes()), answered(103, true));
}

#[test]
fn an_interim_answer_proves_life() {
    let hints = b"HTTP/1.1 103 Early Hints\r\n\r\n";
    assert_eq!(told(&get("/", None), hints), answered(103, false));
    assert_eq!(told(&get("/", None), b"HTTP/1.1 103 Early Hints\r\n\r\ngarbage"), answered(103, false));
    let silent = probed(&get("/", None), SOON, |mut wire| {
        wire.read_head();
        wire.send(hints);
        wire.read_to_end();
    });
    assert_eq!(silent, answered(103, false));
}

#[test]
fn it_does_not_read_for_ever() {
    for line in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\nA: b\r\nC: "] {
        let found = probed(&get("/", None), Duration::MAX, |mut wire| {
            wire.read_head();
            while wire.try_send(line) {}
        });
        assert_eq!(found, answered(100, false));
    }
    let found = probed(&get("/", None), Duration::MAX, |mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 O");
        while wire.try_send("kkkkkkkkkkkkkkkkkkkkkkkkkkkk") {}
    });
    assert_eq!(found, Probed::Unanswered);
}

#[test]
fn a_body_is_not_read() {
    let found = probed(&get("/", None), Duration::MAX, |mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while wire.try_send("5\r\nhello\r\n") {}
    });
    assert_eq!(found, answered(200, true));
}

#[test]
fn a_trickle_is_in_time_as_a_whole_or_not_at_all() {
    let found = probed(&ProbeKind::Head, SOON, |mut wire| {
        wire.read_head();
        for byte in b"HTTP/1.1 200 OK, but slowly\r\n" {
            if !wire.try_send([*byte]) {
                break;
            }
            thread::sleep(SOON / 10);
        }
    });
    assert_eq!(found, Probed::Unanswered);
    let found = probed(&ProbeKind::Head, PATIENCE, |mut wire| {
        wire.read_head();
        for byte in b"HTTP/1.1 200 OK\r\n" {
            wire.send([*byte]);
        }
    });
    assert_eq!(found, answered(200, true));
}

#[test]
fn ipv6() {
    // A machine without IPv6 has no such endpoints either.
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut socket, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let expected = format!("HEAD / HTTP/1.1\r\nHost: [::1]:{}\r\n", address.port());
            assert!(head.starts_with(expected.as_bytes()), "{}", head.escape_ascii());
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        });
        assert_eq!(look(address, &ProbeKind::Head, PATIENCE), answered(200, true));
    });
}

/// Who vouches for nobody but `localhost`, and a server that it vouches for.
struct Vouched {
    trust: UpstreamTls,
    config: Arc<ServerConfig>,
}

impl Vouched {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_no_client_auth();
        let config = Arc::new(builder.with_single_cert(vec![certificate], key).unwrap());
        Self { trust: UpstreamTls::trusting(&file).unwrap(), config }
    }

    /// What comes of a probe by this name, and what the server has read and whether it was told of the end.
    fn probed(&self, name: &str, kind: &ProbeKind, trust: &UpstreamTls) -> (Probed, Option<(String, bool)>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let endpoint = endpoint(listener.local_addr().unwrap(), Scheme::Https, Some(name));
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                let (mut socket, _) = listener.accept().unwrap();
                let mut tls = ServerConnection::new(Arc::clone(&self.config)).unwrap();
                while tls.is_handshaking() {
                    tls.complete_io(&mut socket).ok()?;
                }
                let mut stream = StreamOwned::new(tls, socket);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).ok()?;
                    head.push(byte[0]);
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                let is_told = matches!(stream.read(&mut [0]), Ok(0));
                Some((String::from_utf8(head).unwrap(), is_told))
            });
            (look_at(&endpoint, kind, PATIENCE, trust), server.join().unwrap())
        })
    }
}

#[test]
fn it_goes_through_the_tls_of_requests() {
    let vouched = Vouched::new();
    let (found, server) = vouched.probed("localhost:8443", &ProbeKind::Head, &vouched.trust);
    assert_eq!(found, answered(200, true));
    let (head, is_told_of_the_end) = server.unwrap();
    assert!(head.starts_with("HEAD / HTTP/1.1\r\nHost: localhost:8443\r\n"), "{head}");
    assert!(is_told_of_the_end);
    let (found, server) = vouched.probed("localhost", &get("/up", None), &vouched.trust);
    assert_eq!(found, answered(200, true));
    assert!(server.unwrap().0.starts_with("GET /up HTTP/1.1\r\nHost: localhost\r\n"));
}

#[test]
fn who_does_not_prove_who_he_is_has_not_answered() {
    let (vouched, stranger) = (Vouched::new(), Vouched::new());
    let (found, server) = vouched.probed("other.example", &ProbeKind::Head, &vouched.trust);
    assert_eq!((found, server), (Probed::Unanswered, None));
    let (found, server) = vouched.probed("localhost", &ProbeKind::Head, &stranger.trust);
    assert_eq!((found, server), (Probed::Unanswered, None));
    let listening = Listening::start();
    let plain = endpoint(listening.address(), Scheme::Https, Some("localhost"));
    assert_eq!(look_at(&plain, &ProbeKind::Head, SOON, &vouched.trust), Probed::Unanswered);
    let mut wire = listening.try_accept().expect("it was connected");
    // A handshake, and nothing in the clear.
    assert_eq!(wire.read_exact(1), [0x16]);
}
