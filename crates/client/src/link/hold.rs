use std::collections::BTreeMap;
use std::time::Duration;

use berth_model::{LinkChanged, LinkEnded, LinkRequest, Patch, RunName};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Method;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::Word;
use crate::call::Caller;
use crate::stream::{EventStream, Failure, read};
use crate::{Backoff, Event};

/// Runs that are added within this time of each other are named by one new link.
const GATHERING_TIME: Duration = Duration::from_millis(5);

/// What the owners of runs want of the link.
#[derive(Debug)]
pub(super) enum Command {
    Add(RunName, mpsc::UnboundedSender<Word>),
    /// The registry has forgotten the run meanwhile and knows it again.
    Renew(RunName),
    Remove(RunName),
}

/// Holds one link open, whatever happens to it.
///
/// A link names its runs when it is opened. For another run a new one is opened, and only then the old one
/// closed: the registry takes the loss of a link that was overtaken for nothing.
pub(super) struct Holder {
    caller: Caller,
    commands: mpsc::UnboundedReceiver<Command>,
    owners: BTreeMap<RunName, Owner>,
    stream: Option<EventStream>,
    opening: Option<BoxFuture<'static, Result<EventStream, Failure>>>,
    /// When the next one is to be opened.
    due: Option<Instant>,
    backoff: Backoff,
    slow_backoff: Backoff,
    /// Whether it was told that there is no link: once is enough.
    warned: bool,
}

struct Owner {
    words: mpsc::UnboundedSender<Word>,
    /// Whether the link that was asked for last names the run.
    is_named: bool,
    /// Whether the registry knows the run: it is not named until its owner has registered it again.
    is_known: bool,
}

impl Holder {
    pub(super) fn new(caller: Caller, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        Self {
            caller,
            commands,
            owners: BTreeMap::new(),
            stream: None,
            opening: None,
            due: None,
            backoff: Backoff::between(Duration::from_millis(200), Duration::from_secs(5)),
            slow_backoff: Backoff::slow(),
            warned: false,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                () = until(self.due) => self.open(),
                outcome = finished(&mut self.opening) => self.opened(outcome),
                event = next(&mut self.stream) => self.heard(event),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Add(run, words) => {
                self.owners.insert(run, Owner { words, is_named: false, is_known: true });
                self.due = Some(Instant::now() + GATHERING_TIME);
            }
            Command::Renew(run) => {
                if let Some(owner) = self.owners.get_mut(&run) {
                    owner.is_known = true;
                    self.due = Some(Instant::now() + GATHERING_TIME);
                }
            }
            Command::Remove(run) => {
                self.owners.remove(&run);
                if self.owners.is_empty() {
                    (self.stream, self.opening, self.due) = (None, None, None);
                }
            }
        }
    }

    fn open(&mut self) {
        self.due = None;
        self.owners.values_mut().for_each(|owner| owner.is_named = owner.is_known);
        let named = self.owners.iter().filter(|(_, owner)| owner.is_named);
        let body = LinkRequest { instances: named.map(|(run, _)| run.clone()).collect() };
        if body.instances.is_empty() {
            return;
        }
        let request = self.caller.open(Method::POST, self.caller.url("v1/link")).json(&body);
        self.opening = Some(EventStream::open(self.caller.clone(), request).boxed());
    }

    fn opened(&mut self, outcome: Result<EventStream, Failure>) {
        self.opening = None;
        match outcome {
            Ok(stream) => {
                self.backoff.reset();
                self.slow_backoff.reset();
                self.warned = false;
                self.stream = Some(stream);
                self.tell_named(&Word::Linked);
            }
            Err(failure) => self.failed(&failure),
        }
    }

    fn heard(&mut self, event: Result<Event, Failure>) {
        match event.and_then(|event| decode(&event)) {
            Ok(Some((run, word))) => {
                if let Some(owner) = self.owners.get_mut(&run) {
                    owner.is_known &= !matches!(word, Word::Ended(_));
                    // An owner that is gone says so by the next command.
                    let _ = owner.words.send(word);
                }
            }
            Ok(None) => {}
            Err(failure) => {
                self.stream = None;
                self.tell_named(&Word::Unlinked);
                self.failed(&failure);
            }
        }
    }

    fn failed(&mut self, failure: &Failure) {
        let registry = self.caller.address();
        debug!(%registry, ?failure, "no link");
        if let Failure::Denied { why } | Failure::NoStream { why } = failure
            && !std::mem::replace(&mut self.warned, true)
        {
            warn!(%registry, why, "no link can be held: a crash is seen only when the lease ends");
        }
        let pause = match failure {
            Failure::Lost { retry_after, .. } => {
                self.backoff.next_pause().max(Backoff::spread(retry_after.unwrap_or_default()))
            }
            Failure::Garbled { .. } | Failure::Silent => self.backoff.next_pause(),
            Failure::Mute | Failure::Denied { .. } | Failure::NoStream { .. } => {
                self.slow_backoff.next_pause()
            }
        };
        // A new one that is being opened, or is due, will do.
        if self.opening.is_none() && self.due.is_none() && !self.owners.is_empty() {
            self.due = Some(Instant::now() + pause);
        }
    }

    fn tell_named(&self, word: &Word) {
        for owner in self.owners.values().filter(|owner| owner.is_named) {
            let _ = owner.words.send(word.clone());
        }
    }
}

/// None for a tick, and for what a later version of the registry may say.
fn decode(event: &Event) -> Result<Option<(RunName, Word)>, Failure> {
    let draining = |draining| Word::Asked(Patch { draining: Some(draining), ..Patch::default() });
    Ok(Some(match event.name.as_str() {
        "drain" => (read(event)?, draining(true)),
        "undrain" => (read(event)?, draining(false)),
        "changed" => {
            let LinkChanged { run, weight, meta } = read(event)?;
            (run, Word::Asked(Patch { draining: None, weight, meta }))
        }
        "ended" => {
            let LinkEnded { run, reason } = read(event)?;
            (run, Word::Ended(reason))
        }
        _ => return Ok(None),
    }))
}

async fn finished(
    opening: &mut Option<BoxFuture<'static, Result<EventStream, Failure>>>,
) -> Result<EventStream, Failure> {
    match opening {
        Some(opening) => opening.await,
        None => std::future::pending().await,
    }
}

async fn next(stream: &mut Option<EventStream>) -> Result<Event, Failure> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
