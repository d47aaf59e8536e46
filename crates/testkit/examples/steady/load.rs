use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Error, Read};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep_until, timeout};

use crate::ask::{Ask, Trouble, connect, is_quiet};
use crate::now_ms;
use crate::shape::Shape;
use crate::tally::{Ending, Tally};

/// What to send, where, how often.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Where clients connect
    #[arg(long, value_name = "ADDR:PORT")]
    target: SocketAddr,

    /// Requests a second, whatever becomes of those before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,

    /// How long at most; SIGINT, SIGTERM or the end of stdin end it earlier
    #[arg(long, value_name = "N")]
    seconds: u64,

    /// Connections that are kept open from request to request; as many again are kept for requests that take time
    #[arg(long, value_name = "N", default_value_t = 32)]
    kept: usize,

    /// Of ten requests, those on a connection of their own
    #[arg(long, value_name = "N", default_value_t = 1)]
    fresh: u64,

    /// Of ten requests, those that are POSTs
    #[arg(long, value_name = "N", default_value_t = 3)]
    post: u64,

    /// Of a hundred GETs, those that ask for 1 to 3 s
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=20))]
    slow: u64,

    /// How long a client waits for its answer, in seconds
    #[arg(long, value_name = "N", default_value_t = 30)]
    patience: u64,
}

type Places = RefCell<VecDeque<Option<TcpStream>>>;

/// The clients. A free place holds the connection that was kept there, or none yet.
struct Clients {
    options: Options,
    places: Places,
    /// Of requests that take time: they would leave no place for the others.
    slow_places: Places,
    tally: RefCell<Tally>,
}

/// Sends until it is over, then prints the sum.
pub(crate) async fn run(options: Options) -> Result<(), Error> {
    let [places, slow_places] = [(); 2].map(|()| RefCell::new((0..options.kept).map(|_| None).collect()));
    let tally = RefCell::new(Tally::begin());
    let clients = Rc::new(Clients { options, places, slow_places, tally });
    LocalSet::new().run_until(send_all(Rc::clone(&clients))).await?;
    clients.tally.borrow_mut().tell();
    Ok(())
}

async fn send_all(clients: Rc<Clients>) -> Result<(), Error> {
    let Options { rate, seconds, fresh, post, .. } = clients.options;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut orphaned = end_of_stdin();
    let prefix = format!("{:x}-{:x}", std::process::id(), now_ms() as u64);
    let start = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..u64::from(rate) * seconds {
        let due = start + Duration::from_secs_f64(number as f64 / f64::from(rate));
        tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = &mut orphaned => break,
            () = sleep_until(due.into()) => {}
        }
        clients.tally.borrow_mut().lag(due.elapsed());
        let ask = Ask {
            shape: Shape::of(number, number % 10 < post, clients.options.slow),
            id: format!("{prefix}-{number}"),
        };
        // One of each ten, and not always the same of them.
        let is_fresh = (number + number / 10) % 10 < fresh;
        running.spawn_local(Rc::clone(&clients).send(ask, is_fresh));
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
    Ok(())
}

/// Resolves when whoever started us is gone, or wants us to end.
fn end_of_stdin() -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        // An unreadable stdin has ended as well.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        sender.send(())
    });
    receiver
}

impl Clients {
    async fn send(self: Rc<Self>, ask: Ask, is_fresh: bool) {
        let (begun_ms, begun) = (now_ms(), Instant::now());
        let mut seen = Vec::new();
        let patience = Duration::from_secs(self.options.patience);
        let (mut was_reused, mut resent) = (false, false);
        let work = async {
            if is_fresh {
                let mut stream = connect(self.options.target).await?;
                return ask.put(&mut stream, true, &mut seen).await.map(drop);
            }
            self.send_kept(&ask, &mut seen, &mut was_reused, &mut resent).await
        };
        let outcome = timeout(patience, work).await;
        let trouble = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(trouble)) => Some(trouble.kind),
            Err(_) => Some("timeout".to_owned()),
        };
        let ending = Ending {
            ask,
            is_fresh,
            was_reused,
            resent,
            begun_ms,
            took: begun.elapsed(),
            answer_begun: !seen.is_empty(),
            trouble,
        };
        self.tally.borrow_mut().count(&ending);
    }

    /// On the connection that was not used for longest; a new one where it was closed meanwhile. More requests at
    /// once than there are places get connections that are not kept.
    async fn send_kept(
        &self,
        ask: &Ask,
        seen: &mut Vec<u8>,
        was_reused: &mut bool,
        resent: &mut bool,
    ) -> Result<(), Trouble> {
        let places = if ask.shape.asked_ms() > 0 { &self.slow_places } else { &self.places };
        let mut place = Place { places, is_ours: false, kept: None };
        let idle = {
            let taken = places.borrow_mut().pop_front();
            place.is_ours = taken.is_some();
            taken.flatten()
        };
        if let Some(mut stream) = idle.filter(is_quiet) {
            *was_reused = true;
            match ask.put(&mut stream, false, seen).await {
                Ok(is_kept) => {
                    place.kept = is_kept.then_some(stream);
                    return Ok(());
                }
                // The server may have closed it while the request was under way: clients ask again, if that does
                // no harm.
                Err(trouble) if trouble.is_unanswered && !ask.shape.is_post() => *resent = true,
                Err(trouble) => return Err(trouble),
            }
        }
        let mut stream = connect(self.options.target).await?;
        let is_kept = ask.put(&mut stream, false, seen).await?;
        place.kept = is_kept.then_some(stream);
        Ok(())
    }
}

/// A place among the kept connections; given back when dropped, also by a client who gave up.
struct Place<'c> {
    places: &'c Places,
    is_ours: bool,
    kept: Option<TcpStream>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.is_ours {
            self.places.borrow_mut().push_back(self.kept.take());
        }
    }
}
