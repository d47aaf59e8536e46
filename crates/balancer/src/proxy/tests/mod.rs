//! What traffic tells of endpoints and is told of them: a worker whose list of endpoints, clock ticks and signals are the
//! test's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

mod budget;
mod departures;
mod reserve;
mod signals;
mod silence;
mod stall;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use berth_daemon::Shutdown;
use berth_http1::Limits;
use berth_model::{Identity, Run, Scheme};
use berth_pick::{Eligible, Endpoint, Roster, Signal};
use berth_testkit::{Http, Wire, eventually};
use tokio::sync::{Notify, mpsc};

use super::per_client::Clients;
use super::worker;
use crate::config::default_routing;
use crate::proxy::{ProxySettings, Timeouts};
use crate::routing::{Capacity, Choosing, Policy, Routes, StepTimeouts};
use crate::telemetry::{Cells, Retried};
use crate::tls::UpstreamTls;
use crate::upstreams::{About, Lasting, LiveBackend, LiveChooser, Published, Snapshot};

/// What a client asks, as far as it matters here.
const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi";

/// Whom there is, and what holds.
struct Setup {
    set: Vec<Arc<Endpoint>>,
    reserve: Vec<Arc<Endpoint>>,
    capacity: Capacity,
    answer: Duration,
    generation: u64,
}

/// One worker, in front of one backend.
struct Rig {
    address: SocketAddr,
    published: Arc<Published>,
    signalled: mpsc::UnboundedReceiver<u64>,
    cells: Arc<Cells>,
    ticks: Arc<Notify>,
    shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
}

/// Endpoints at these addresses.
fn endpoints(addresses: &[SocketAddr]) -> Vec<Arc<Endpoint>> {
    let mut roster = Roster::default();
    let identity = |address: &SocketAddr| Identity {
        service: "web".parse().unwrap(),
        id: address.port().to_string().parse().unwrap(),
        run: Run::new(1, 1),
        scheme: Scheme::Http,
        host: address.ip().to_string().parse().unwrap(),
        port: address.port(),
    };
    addresses.iter().map(|address| roster.endpoint(&identity(address), None, None)).collect()
}

impl Setup {
    fn of(set: &[Arc<Endpoint>]) -> Self {
        let answer = Duration::from_secs(600);
        Self { set: set.to_vec(), reserve: Vec::new(), capacity: Capacity::default(), answer, generation: 1 }
    }

    fn general(&self) -> ProxySettings {
        let never = Duration::from_secs(600);
        ProxySettings {
            limits: Limits { head_bytes: 4096, target_bytes: 1024, fields: 16 },
            timeouts: Timeouts {
                connect: never,
                head: never,
                answer: self.answer,
                body: never,
                send: never,
                idle: never,
                tunnel: never,
                upstream_idle: never,
            },
            most_body_bytes: None,
            most_pending: 1000,
            trusted_proxies: Vec::new(),
            tls: UpstreamTls::default(),
            via: true,
            per_client: None,
        }
    }

    fn snapshot(self) -> Snapshot {
        let routing = default_routing(Some(&"web".parse().unwrap()), &[], &[]);
        let general = Arc::new(self.general());
        let chooser = Arc::new(LiveChooser::new(&Choosing::default(), 0));
        let about = About { subject: "web".into(), capacity: self.capacity };
        let nobody = LiveBackend::nobody(about, chooser, Arc::new(Lasting::new("web")));
        let weighed = |endpoint: &Arc<Endpoint>| Eligible { endpoint: Arc::clone(endpoint), weight: 1 };
        let eligible: Vec<Eligible> = self.set.iter().map(weighed).collect();
        let set = nobody.chooser.arrange(&nobody.set, &eligible);
        let backend = nobody.with(set, Vec::new(), self.reserve);
        backend.admit();
        Snapshot {
            generation: self.generation,
            departures: 0,
            routes: Arc::new(Routes::new(&routing, &[], &general, &Routes::default())),
            backends: vec![Arc::new(backend)],
            timeouts: StepTimeouts::of(&general, &Policy::default()),
            general,
        }
    }

    fn published(self) -> (Arc<Published>, mpsc::UnboundedReceiver<u64>) {
        let (published, signalled) = Published::new(self.snapshot());
        (Arc::new(published), signalled)
    }

    /// Runs the worker.
    fn start(self) -> Rig {
        let (published, signalled) = self.published();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (cells, ticks, shutdown) =
            (Arc::<Cells>::default(), Arc::<Notify>::default(), Shutdown::default());
        let start = worker::Start {
            listener,
            listeners: mpsc::unbounded_channel().1,
            published: Arc::clone(&published),
            cells: Arc::clone(&cells),
            access_log: None,
            most_connections: 1000,
            clients: Arc::<Clients>::default(),
            descriptors: 3000,
            ticks: Arc::clone(&ticks),
            shutdown: shutdown.clone(),
        };
        let thread = Some(std::thread::spawn(move || worker::run(start).expect("a worker")));
        Rig { address, published, signalled, cells, ticks, shutdown, thread }
    }
}

impl Rig {
    fn connect(&self) -> Wire {
        Wire::connect(self.address)
    }

    fn http(&self) -> Http {
        Http::connect(self.address)
    }

    /// Waits for something while the worker's clock ticks.
    fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        eventually(what, || {
            self.ticks.notify_one();
            ask()
        })
    }

    /// Waits until this was met at an endpoint, and nothing else.
    fn expect_signal(&mut self, endpoint: &Endpoint, signal: Signal) {
        let signalled = eventually_signalled(self);
        assert_eq!(signalled, endpoint.key());
        assert_eq!(endpoint.signals().take().collect::<Vec<_>>(), [signal]);
    }

    /// Nothing was met at any endpoint so far.
    fn expect_no_signal(&mut self) {
        assert!(self.signalled.try_recv().is_err());
    }

    fn retried(&self, why: Retried) -> u64 {
        self.cells.retried(why).value()
    }

    /// From now on there are these.
    fn publish(&self, set: &[Arc<Endpoint>]) {
        let generation = self.published.generation() + 1;
        self.published.publish(Setup { generation, ..Setup::of(set) }.snapshot());
    }

    /// An endpoint is given up, as whoever probes it would say.
    fn give_up(&self, endpoint: &Endpoint) {
        endpoint.signals().give_up(true);
        self.published.note_given_up();
    }
}

fn eventually_signalled(rig: &mut Rig) -> u64 {
    let ticks = Arc::clone(&rig.ticks);
    eventually("a signal", || {
        ticks.notify_one();
        rig.signalled.try_recv().ok()
    })
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.shutdown.graceful.cancel();
        self.shutdown.forced.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "the worker panicked");
        }
    }
}
