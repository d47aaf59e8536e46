use std::time::Duration;

use berth_model::{Query, ServiceName, Snapshot};
use futures_util::future::OptionFuture;
use reqwest::Method;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tracing::{debug, info};

use super::Update;
use super::position::{Gap, Message, Position};
use crate::call::Caller;
use crate::stream::{EventStream, Failure};
use crate::{Backoff, Error, Lookup, RegistryAddress};

/// How often the list is asked for where no stream can be held.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How often a stream is tried again meanwhile.
const STREAM_RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// So many streams must stay without any event before polling takes over.
const MUTES_BEFORE_POLLING: u32 = 2;

/// Feeds a [`super::Watch`] until it is dropped.
pub(super) async fn follow(
    address: RegistryAddress,
    token: Option<String>,
    service: Option<ServiceName>,
    updates: mpsc::Sender<Update>,
) {
    match Caller::new(address, token) {
        Ok(caller) => Follower::new(caller, service, updates).run().await,
        Err(error) => {
            let _ = updates.send(Update::Away { why: error.why() }).await;
            // The sender must live on: the reader waits for what comes next, which is nothing.
            std::future::pending::<()>().await;
        }
    }
}

struct Follower {
    caller: Caller,
    lookup: Lookup,
    service: Option<ServiceName>,
    updates: mpsc::Sender<Update>,
    position: Position,
    /// What the reader was told last: a list, or that the registry is away.
    told: Told,
    failures_in_a_row: u32,
    mutes_in_a_row: u32,
    backoff: Backoff,
    slow_backoff: Backoff,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    List,
    Away,
}

impl Follower {
    fn new(caller: Caller, service: Option<ServiceName>, updates: mpsc::Sender<Update>) -> Self {
        let lookup = Lookup::of(caller.clone());
        Self {
            caller,
            lookup,
            service,
            updates,
            position: Position::default(),
            told: Told::Nothing,
            failures_in_a_row: 0,
            mutes_in_a_row: 0,
            backoff: Backoff::new(),
            slow_backoff: Backoff::slow(),
        }
    }

    async fn run(mut self) {
        let mut opened = self.open().await;
        loop {
            let failure = match opened {
                Ok(stream) => self.read(stream).await,
                Err(failure) => failure,
            };
            opened = if self.must_poll(&failure).await {
                self.poll(&failure).await
            } else {
                self.pause(failure).await;
                self.open().await
            };
        }
    }

    fn open(&self) -> impl Future<Output = Result<EventStream, Failure>> + Send + 'static {
        let mut url = self.caller.url("v1/watch");
        if let Some(service) = &self.service {
            url.query_pairs_mut().append_pair("service", service.as_str());
        }
        let mut request = self.caller.open(Method::GET, url);
        if let Some(revision) = self.position.resume() {
            request = request.header("last-event-id", revision.to_string());
        }
        EventStream::open(self.caller.clone(), request)
    }

    /// Tells what a stream says until it ends.
    async fn read(&mut self, mut stream: EventStream) -> Failure {
        loop {
            let message = stream.next().await.and_then(|event| Message::decode(&event));
            let taken = match message {
                Ok(Some(message)) => self.position.take(message).map_err(|Gap| Failure::Garbled {
                    why: "its history does not continue what was seen".to_owned(),
                }),
                Ok(None) => Ok(None),
                Err(failure) => Err(failure),
            };
            match taken {
                Ok(update) => {
                    self.worked();
                    self.mutes_in_a_row = 0;
                    if let Some(update) = update {
                        self.tell(update).await;
                    }
                }
                Err(failure) => {
                    if matches!(failure, Failure::Garbled { .. }) {
                        // Resuming would bring the same events again.
                        self.position = Position::default();
                    }
                    return failure;
                }
            }
        }
    }

    fn worked(&mut self) {
        self.failures_in_a_row = 0;
        self.backoff.reset();
        self.slow_backoff.reset();
    }

    /// Waits while the reader has too much waiting for it; meanwhile the stream is not read either.
    async fn tell(&mut self, update: Update) {
        self.told = match &update {
            Update::Snapshot(_) => Told::List,
            Update::Away { .. } => Told::Away,
            Update::Change(_) => self.told,
        };
        // A reader that is gone has already aborted this task, or will in a moment.
        let _ = self.updates.send(update).await;
    }

    /// Tells of an outage, and waits before the next try.
    async fn pause(&mut self, failure: Failure) {
        self.failures_in_a_row += 1;
        let is_lasting = !matches!(failure, Failure::Lost { .. } | Failure::Garbled { .. });
        let (why, pause) = match failure {
            Failure::Lost { why, retry_after } => {
                let asked = Backoff::spread(retry_after.unwrap_or_default());
                (why, self.backoff.next_pause().max(asked))
            }
            Failure::Garbled { why } => (why, self.backoff.next_pause()),
            Failure::Silent => ("it was silent for 15 s".to_owned(), self.backoff.next_pause()),
            Failure::Mute => ("it did not answer for 15 s".to_owned(), self.backoff.next_pause()),
            Failure::Denied { why } | Failure::NoStream { why } => (why, self.slow_backoff.next_pause()),
        };
        debug!(registry = %self.caller.address(), why, ?pause, "the watch is interrupted");
        // One broken connection is no outage if the next one holds.
        let is_blip = self.told == Told::List && !is_lasting && self.failures_in_a_row < 2;
        if self.told != Told::Away && !is_blip {
            // Without a position the next stream begins with a snapshot, which is how the reader learns that
            // the registry is back.
            self.position = Position::default();
            self.tell(Update::Away { why }).await;
        }
        tokio::time::sleep(pause).await;
    }

    async fn must_poll(&mut self, failure: &Failure) -> bool {
        match failure {
            Failure::NoStream { .. } => true,
            Failure::Mute => {
                self.mutes_in_a_row += 1;
                self.mutes_in_a_row >= MUTES_BEFORE_POLLING && self.lookup.services().await.is_ok()
            }
            _ => false,
        }
    }

    /// Asks for the list again and again, until a stream can be held or the registry is away.
    async fn poll(&mut self, failure: &Failure) -> Result<EventStream, Failure> {
        info!(registry = %self.caller.address(), ?failure, "no event stream can be held, polling instead");
        let mut polls = interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retries = interval_at(Instant::now() + STREAM_RETRY_INTERVAL, STREAM_RETRY_INTERVAL);
        retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut attempt = OptionFuture::from(None);
        loop {
            tokio::select! {
                _ = polls.tick() => {
                    let news = self.ask().await.map_err(|error| match Failure::from(error) {
                        Failure::NoStream { why } => Failure::Denied { why },
                        other => other,
                    })?;
                    self.worked();
                    if let Some(snapshot) = news {
                        self.position.jump(snapshot.revision);
                        self.tell(Update::Snapshot(snapshot)).await;
                    }
                }
                _ = retries.tick() => attempt = OptionFuture::from(Some(Box::pin(self.open()))),
                Some(outcome) = &mut attempt => match outcome {
                    Ok(stream) => {
                        info!(registry = %self.caller.address(), "the event stream holds again");
                        return Ok(stream);
                    }
                    Err(_) => attempt = OptionFuture::from(None),
                },
            }
        }
    }

    /// The whole list by queries; none if it is the one that was told last.
    async fn ask(&self) -> Result<Option<Snapshot>, Error> {
        let services = self.lookup.services().await?;
        if self.position.is_at(services.revision) {
            return Ok(None);
        }
        let mut instances = Vec::new();
        for name in services.services.into_keys() {
            if self.service.as_ref().is_none_or(|wanted| *wanted == name) {
                instances.extend(self.lookup.query(&Query::all(name)).await?.instances);
            }
        }
        // A change in the middle of the queries shows in the next revision, which is asked for again.
        Ok(Some(Snapshot { revision: services.revision, instances, ended: Vec::new() }))
    }
}
