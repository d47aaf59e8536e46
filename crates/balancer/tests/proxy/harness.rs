//! A real balancer within the test's process, on ports of its own.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use berth_balancer::config::{Admin, Health, ProbeKind, Settings, StatePlace, Upstream, default_routing};
use berth_balancer::proxy::{ProxySettings, Timeouts};
use berth_balancer::tls::UpstreamTls;
use berth_balancer::{AccessFormat, AccessTarget, Bound, Limits, Reloading, Reread, StartError};
use berth_daemon::Shutdown;
use berth_model::Scheme;
use berth_testkit::{Http, Listening, PATIENCE, Wire, eventually};

/// Longer than any test waits: what ends after it, no test sees.
const NEVER: Duration = Duration::from_secs(600);

/// Short enough that a test may wait for it.
pub(crate) const SOON: Duration = Duration::from_millis(300);

const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// One worker, no deadline that could fire, an admin port.
pub(crate) fn settings(upstreams: &[SocketAddr]) -> Settings {
    let upstream = |address: &SocketAddr| Upstream {
        host: address.ip().to_string(),
        port: address.port(),
        scheme: Scheme::Http,
    };
    let upstreams: Vec<Upstream> = upstreams.iter().map(upstream).collect();
    Settings {
        routing: default_routing(None, &upstreams, &[]),
        listen: LOCAL,
        listen_anyhow: false,
        admin: Admin::Required(LOCAL),
        token: None,
        registries: Vec::new(),
        threads: 1,
        most_connections: 1000,
        open_files: 3000,
        proxy: ProxySettings {
            limits: Limits { head_bytes: 64 * 1024, target_bytes: 16 * 1024, fields: 128 },
            timeouts: Timeouts {
                connect: PATIENCE,
                head: NEVER,
                answer: NEVER,
                body: NEVER,
                send: NEVER,
                idle: NEVER,
                tunnel: NEVER,
                upstream_idle: NEVER,
            },
            most_body_bytes: None,
            most_pending: 1000,
            trusted_proxies: Vec::new(),
            tls: UpstreamTls::default(),
            via: true,
            per_client: None,
        },
        state: StatePlace::None,
        access_log: AccessTarget::Off,
        access_format: AccessFormat::Combined,
        log_format: berth_daemon::LogFormat::default(),
        grace: NEVER,
    }
}

/// Doubts are settled by a connection without a word, which `Listening::accept` passes over: what is scripted here is the
/// traffic.
fn looked_at_from_afar(mut settings: Settings) -> Settings {
    for backend in &mut settings.routing.backends {
        let is_plain = backend.servers.iter().all(|server| server.upstream.scheme == Scheme::Http);
        if is_plain && backend.health == Health::default() {
            backend.health.probe = ProbeKind::Connect;
        }
    }
    settings
}

/// A balancer that runs until it is dropped.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    pub(crate) shutdown: Shutdown,
    thread: Option<JoinHandle<Result<(), StartError>>>,
}

impl Balancer {
    /// In front of these, with the ordinary settings.
    pub(crate) fn over(upstreams: &[SocketAddr]) -> Self {
        Self::start(settings(upstreams))
    }

    /// In front of one, with deadlines of the test's choice.
    pub(crate) fn with_timeouts(upstreams: &[SocketAddr], change: impl FnOnce(&mut Timeouts)) -> Self {
        let mut settings = settings(upstreams);
        change(&mut settings.proxy.timeouts);
        Self::start(settings)
    }

    /// Runs, and knows all its upstreams.
    pub(crate) fn start(settings: Settings) -> Self {
        let bound = berth_balancer::bind(&settings).expect("ports");
        let servers = settings.routing.backends.iter().flat_map(|backend| &backend.servers);
        let expected = servers.map(|server| &server.upstream).collect::<HashSet<_>>().len();
        let balancer = Self::run(bound, settings, None);
        eventually("all endpoints", || (balancer.metric("endpoints") == expected as f64).then_some(()));
        balancer
    }

    /// Runs, and at each reload reads its settings from here.
    pub(crate) fn reloading(settings: Settings, next: &Arc<Mutex<Result<Settings, String>>>) -> Self {
        let bound = berth_balancer::bind(&settings).expect("ports");
        let next = Arc::clone(next);
        let reread: Reread = Arc::new(move || next.lock().unwrap().clone().map(looked_at_from_afar));
        let balancer =
            Self::run(bound, settings, Some(Reloading { reread, file: None, bell: Arc::default() }));
        eventually("an endpoint", || (balancer.metric("endpoints") > 0.0).then_some(()));
        balancer
    }

    fn run(bound: Bound, settings: Settings, reloading: Option<Reloading>) -> Self {
        let settings = looked_at_from_afar(settings);
        let (address, admin) = (bound.address, bound.admin_address().expect("an admin port"));
        let shutdown = Shutdown::default();
        let stages = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(berth_balancer::run(bound, settings, reloading, stages))
        });
        Self { address, admin, shutdown, thread: Some(thread) }
    }

    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.address)
    }

    pub(crate) fn http(&self) -> Http {
        Http::connect(self.address)
    }

    /// A connection to the admin port.
    pub(crate) fn admin(&self) -> Http {
        Http::connect(self.admin)
    }

    /// The value of a metric, all its labels together; 0 as long as it is not there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = Http::once(self.admin, "/metrics");
        let mine = |line: &&str| {
            let rest = line.strip_prefix("balancer_").and_then(|line| line.strip_prefix(name));
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
        };
        let value = |line: &str| {
            line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number")
        };
        text.text().lines().filter(mine).map(value).sum()
    }

    /// Waits until a metric has this value.
    pub(crate) fn wait_for_metric(&self, name: &str, expected: f64) {
        eventually(&format!("{name} at {expected}"), || (self.metric(name) == expected).then_some(()));
    }

    /// Begins the graceful end, and waits until it has begun: nobody is accepted any more.
    pub(crate) fn begin_end(&self) {
        self.shutdown.graceful.cancel();
        eventually("the end of accepting", || {
            std::net::TcpStream::connect(self.address).is_err().then_some(())
        });
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Result<(), StartError> {
        let thread = self.thread.take().expect("it runs");
        eventually("the balancer's end", || thread.is_finished().then_some(()));
        thread.join().expect("no panic")
    }

    /// Ends it, and waits for that.
    pub(crate) fn end(self) {
        self.shutdown.graceful.cancel();
        self.wait().expect("a clean end");
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shutdown.graceful.cancel();
        self.shutdown.forced.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "the balancer panicked");
        }
    }
}

/// The fields that a request from this machine gets on its way, and the empty line.
pub(crate) fn forwarded(host: &str) -> String {
    forwarded_by(host, "1.1")
}

/// The same for a client of this version.
pub(crate) fn forwarded_by(host: &str, version: &str) -> String {
    let fields = "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n";
    format!("{fields}X-Forwarded-Host: {host}\r\n{}", traced(version))
}

/// The fields that name the way and the trace, and the empty line. The ids stand for any.
pub(crate) fn traced(version: &str) -> String {
    let (trace, span) = ("0".repeat(32), "0".repeat(16));
    let ids = format!("X-Request-Id: {trace}\r\ntraceparent: 00-{trace}-{span}-00\r\n");
    format!("Via: {version} berth\r\n{ids}\r\n")
}

/// The bytes with zeros for every id that the balancer made.
pub(crate) fn without_ids(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (name, digits) in [("X-Request-Id: ", [32, 0]), ("traceparent: 00-", [32, 16])] {
        let starts: Vec<usize> =
            (0..bytes.len()).filter(|at| bytes[*at..].starts_with(name.as_bytes())).collect();
        for start in starts {
            let mut at = start + name.len();
            for digits in digits {
                let end = (at + digits).min(bytes.len());
                let id = bytes.get_mut(at..end).unwrap_or_default();
                assert!(id.iter().all(u8::is_ascii_hexdigit), "{:?}", id.escape_ascii().to_string());
                id.fill(b'0');
                at += digits + 1;
            }
        }
    }
    bytes
}

/// A GET from `test` as its upstream sees it.
pub(crate) fn forwarded_get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{}", forwarded("test"))
}

/// The same for a client of HTTP/1.0.
pub(crate) fn forwarded_old_get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{}", forwarded_by("test", "1.0"))
}

/// A GET from `test` as a client sends it.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// An answer with this content.
pub(crate) fn ok(content: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", content.len())
}

/// Reads exactly these bytes.
pub(crate) fn expect(wire: &mut Wire, expected: impl AsRef<[u8]>) {
    let expected = expected.as_ref();
    let seen = without_ids(&wire.read_exact(expected.len()));
    assert!(
        seen == expected,
        "expected {:?}\n     got {:?}",
        expected.escape_ascii().to_string(),
        seen.escape_ascii().to_string()
    );
}

/// The next connection to any of these, and to which.
pub(crate) fn accept_any(peers: &[&Listening]) -> (usize, Wire) {
    eventually("a connection to any", || {
        peers.iter().enumerate().find_map(|(index, peer)| peer.try_accept().map(|wire| (index, wire)))
    })
}

/// Asserts that nobody has connected to it by now.
pub(crate) fn expect_nobody(peer: &Listening) {
    assert!(peer.try_accept().is_none(), "somebody connected to {}", peer.address());
}
