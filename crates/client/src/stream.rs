use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::call::{Caller, has_type};
use crate::error::innermost;
use crate::{Error, Event, EventParser};

/// A silence is counted in slices, so that it grows by one at most while this process itself stands still.
const SILENCE_SLICE: Duration = Duration::from_secs(1);

/// Ticks come every 5 s; without any sign for this many slices the registry is away.
const SILENCE_SLICES: u32 = 15;

/// Why there is no stream (any more).
#[derive(Debug)]
pub(crate) enum Failure {
    /// The registry is away, or the connection broke.
    Lost { why: String, retry_after: Option<Duration> },
    /// The stream says what makes no sense here. The next one must begin with a snapshot.
    Garbled { why: String },
    /// A stream that worked fell silent.
    Silent,
    /// Nothing at all came of a new stream: the registry hangs, or something between us holds the answer back.
    Mute,
    /// The registry does not let us watch.
    Denied { why: String },
    /// There is an answer, and it is no event stream.
    NoStream { why: String },
}

impl Failure {
    fn lost(why: impl Into<String>) -> Self {
        Failure::Lost { why: why.into(), retry_after: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let why = error.why();
        match error.status() {
            Some(401 | 403) => Failure::Denied { why },
            Some(400..500) if !error.is_passing() => Failure::NoStream { why },
            _ => Failure::Lost { why, retry_after: error.retry_after() },
        }
    }
}

/// An event stream that has begun to speak.
#[derive(Debug)]
pub(crate) struct EventStream {
    answer: Response,
    parser: EventParser,
    /// Events that came with the same bytes as the last one.
    ready: VecDeque<Event>,
    /// Kept here, as a reader that waits for other things as well begins to wait for the next event again and
    /// again.
    silent_slices: u32,
}

impl EventStream {
    /// Sends the request that opens a stream and waits for its first event. It owns its arguments, so that it can
    /// go on beside others.
    pub(crate) async fn open(caller: Caller, request: RequestBuilder) -> Result<Self, Failure> {
        let request = request.header(ACCEPT, "text/event-stream");
        let answer = unless_silent(caller.send(request)).await.ok_or(Failure::Mute)??;
        if !has_type(answer.headers(), "text/event-stream") {
            return Err(Failure::NoStream { why: format!("its answer is {}", type_of(answer.headers())) });
        }
        let mut stream =
            Self { answer, parser: EventParser::new(), ready: VecDeque::new(), silent_slices: 0 };
        stream.fill().await.map_err(|failure| match failure {
            Failure::Silent => Failure::Mute,
            other => other,
        })?;
        Ok(stream)
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            match self.ready.pop_front() {
                Some(event) => return Ok(event),
                None => self.fill().await?,
            }
        }
    }

    /// Reads until at least one event is ready.
    async fn fill(&mut self) -> Result<(), Failure> {
        while self.ready.is_empty() {
            let chunk = match timeout(SILENCE_SLICE, self.answer.chunk()).await {
                Err(_) => {
                    self.silent_slices += 1;
                    if self.silent_slices >= SILENCE_SLICES {
                        return Err(Failure::Silent);
                    }
                    continue;
                }
                Ok(Err(error)) => return Err(Failure::lost(innermost(&error))),
                Ok(Ok(None)) => return Err(Failure::lost("it closed the stream")),
                Ok(Ok(Some(chunk))) => chunk,
            };
            self.silent_slices = 0;
            self.parser
                .feed(&chunk, |event| self.ready.push_back(event))
                .map_err(|error| Failure::Garbled { why: error.to_string() })?;
        }
        Ok(())
    }
}

/// Waits for as long as a registry may be silent; none means that it is.
async fn unless_silent<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..SILENCE_SLICES {
        if let Ok(output) = timeout(SILENCE_SLICE, &mut future).await {
            return Some(output);
        }
    }
    None
}

/// The data of an event.
pub(crate) fn read<T: DeserializeOwned>(event: &Event) -> Result<T, Failure> {
    serde_json::from_slice(&event.data).map_err(|error| Failure::Garbled {
        why: format!("its event {} cannot be read: {error}", event.name),
    })
}

fn type_of(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("of no type")
}
