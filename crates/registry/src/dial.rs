//! Dialling an instance: to see that it listens before it is published, and to see whether it crashed when its
//! link breaks. Only the registered address is dialled, and nothing is sent.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use berth_catalog::Suspect;
use dashmap::DashMap;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::debug;

use crate::store::{Key, Memory, Suspects};
use crate::telemetry::Telemetry;

/// How many dials there may be at once.
const MOST_DIALS: usize = 256;

/// How many there may be at once to one host address, so that one that swallows them does not keep all places.
const MOST_DIALS_PER_HOST: usize = 32;

/// How long one may take. With what goes before and after it, an answer is there within a second.
const DIAL_TIME: Duration = Duration::from_millis(900);

/// How long a registration waits for its turn to be dialled.
const QUEUE_TIME: Duration = Duration::from_secs(1);

/// How long an accepted dial-back is watched: the kernel still accepts for a process that is just dying, and resets
/// the connection when it comes to closing the listener.
const DYING_TIME: Duration = Duration::from_secs(1);

/// How many of them are watched at once. Others are taken for accepted, and the lease decides.
const MOST_WATCHED: usize = 256;

/// When a run whose link broke is dialled, counted from the time before. A process that lives opens another link
/// meanwhile; one that does not may have died slowly, or its port may have had somebody else for a moment.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(8), Duration::from_secs(30)];

/// A dial-back that was accepted and then closed is tried again after these: a second together.
const TRY_PAUSES_MS: [u64; 11] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Dials, a limited number at a time; clones share the limit.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    places: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    hosts: Arc<DashMap<IpAddr, Arc<Semaphore>>>,
    telemetry: Telemetry,
}

/// The right to dial a host now.
struct Turn {
    hosts: Arc<DashMap<IpAddr, Arc<Semaphore>>>,
    host: IpAddr,
    of_host: Arc<Semaphore>,
    _place_of_host: Option<OwnedSemaphorePermit>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self._place_of_host = None;
        // The map, this one, and nobody else.
        let is_last = |_: &IpAddr, known: &Arc<Semaphore>| {
            Arc::strong_count(known) == 2 && Arc::ptr_eq(known, &self.of_host)
        };
        self.hosts.remove_if(&self.host, is_last);
    }
}

/// What came of a dial.
#[derive(Debug)]
pub(crate) enum Dial {
    Accepted,
    /// Nobody listens there.
    Refused,
    /// Everything else: it may live, out of our reach.
    Unclear(String),
}

/// So many others are dialled that it would take too long.
#[derive(Debug)]
pub(crate) struct Busy;

impl Dialer {
    pub(crate) fn new(telemetry: Telemetry) -> Self {
        let (places, watches) = (Semaphore::new(MOST_DIALS), Semaphore::new(MOST_WATCHED));
        Self { places: Arc::new(places), watches: Arc::new(watches), hosts: Arc::default(), telemetry }
    }

    /// Dials an address that somebody wants to register.
    pub(crate) async fn verify(&self, address: SocketAddr) -> Result<Dial, Busy> {
        let _turn = timeout(QUEUE_TIME, self.turn(address.ip())).await.ok().flatten().ok_or(Busy)?;
        match connect(address).await {
            Ok(_) => Ok(self.count(Dial::Accepted)),
            Err(error) if is_ours(&error) => Err(Busy),
            Err(error) => Ok(self.count(judge(&error))),
        }
    }

    /// Dials back every run whose link broke, and ends those that refuse, for ever.
    pub(crate) async fn dial_back(&self, store: Arc<Memory>, mut suspects: Suspects) {
        while let Some((key, suspect)) = suspects.recv().await {
            tokio::spawn(self.clone().judge_suspect(Arc::clone(&store), key, suspect));
        }
    }

    async fn judge_suspect(self, store: Arc<Memory>, key: Key, suspect: Suspect) {
        for pause in PAUSES {
            tokio::time::sleep(pause).await;
            if !store.is_suspect(&key, suspect) {
                return;
            }
            let dial = self.call_back(suspect.address).await;
            let dial = self.count(dial);
            debug!(service = %key.0, id = %key.1, run = %suspect.run, ?dial, "the link broke");
            if matches!(dial, Dial::Refused) {
                return store.refused(&key, suspect);
            }
        }
    }

    async fn call_back(&self, address: SocketAddr) -> Dial {
        for pause_ms in TRY_PAUSES_MS {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            let Some(place) = self.place().await else { break };
            let connected = connect(address).await;
            // Whoever waits to be dialled shall not wait for what follows.
            drop(place);
            match connected {
                Ok(stream) => {
                    let Ok(_watch) = Arc::clone(&self.watches).try_acquire_owned() else { break };
                    if !is_closed_soon(stream).await {
                        break;
                    }
                }
                // Closed as soon as it was accepted: that is the listener going.
                Err(error) if is_closing(&error) => {}
                Err(error) => return judge(&error),
            }
        }
        Dial::Accepted
    }

    /// A place among all dials, after one among those to the same host.
    async fn turn(&self, host: IpAddr) -> Option<Turn> {
        let hosts = Arc::clone(&self.hosts);
        let of_host =
            Arc::clone(&hosts.entry(host).or_insert_with(|| Arc::new(Semaphore::new(MOST_DIALS_PER_HOST))));
        // Made first, so that a caller who gives up while it waits cleans up as well.
        let mut turn =
            Turn { hosts, host, of_host: Arc::clone(&of_host), _place_of_host: None, _place: None };
        turn._place_of_host = Some(of_host.acquire_owned().await.ok()?);
        turn._place = Some(self.place().await?);
        Some(turn)
    }

    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn count(&self, dial: Dial) -> Dial {
        self.telemetry.dialled(match dial {
            Dial::Accepted => "accepted",
            Dial::Refused => "refused",
            Dial::Unclear(_) => "unclear",
        });
        dial
    }
}

async fn is_closed_soon(mut stream: TcpStream) -> bool {
    let mut byte = [0];
    let read = timeout(DYING_TIME, stream.read(&mut byte)).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(DIAL_TIME, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::new(ErrorKind::TimedOut, "it did not answer"))??;
    // A dial to a free port of this machine can meet itself (RFC 9293 §3.5, simultaneous open).
    if stream.local_addr().ok() == Some(address) {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

fn is_closing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}

fn judge(error: &io::Error) -> Dial {
    match error.kind() {
        ErrorKind::ConnectionRefused => Dial::Refused,
        _ => Dial::Unclear(error.to_string()),
    }
}

/// Whether it is this process that has no means to dial.
fn is_ours(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    ours.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
