//! What is kept of a request while it runs.

use berth_http1::{Body, RequestHead, Version};

use super::per_client::UnderWay;
use super::reply::Told;
use super::upload::Upload;
use super::view::Routed;
use crate::telemetry::{LoggedLine, MetLimit};

/// What a method allows when an upstream connection dies (RFC 9110 §9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Head,
    /// Other safe methods: asking twice changes nothing.
    Safe,
    /// PUT and DELETE: done twice, the state is the same.
    Idempotent,
    Other,
}

impl Method {
    fn of(name: &[u8]) -> Self {
        match name {
            b"HEAD" => Method::Head,
            b"GET" | b"OPTIONS" => Method::Safe,
            b"PUT" | b"DELETE" => Method::Idempotent,
            _ => Method::Other,
        }
    }

    pub(crate) fn is_idempotent(self) -> bool {
        self != Method::Other
    }
}

/// A request whose head has been read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) version: Version,
    /// Whether the client would send another one on this connection.
    pub(crate) keep_alive: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub(crate) expects_continue: bool,
    /// Whether the client would rather have an error as JSON.
    pub(crate) prefers_json: bool,
    pub(crate) upload: Upload,
    /// Where it goes; none if no route wants it.
    pub(crate) routed: Option<Routed>,
    extras: Option<Box<Extras>>,
}

/// What few requests have. Apart, so that the others need not carry the room for it.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// The protocols that the client would like to switch to.
    pub(crate) upgrade: Option<Box<[u8]>>,
    /// A field for the answer, beside those that come with it.
    pub(crate) cookie: Option<Box<str>>,
    /// What the client is told without asking anybody.
    pub(crate) told: Option<Box<Told>>,
    /// Counts it for its client; none where nothing is limited by that.
    pub(crate) under_way: Option<UnderWay>,
    /// The limit for which it is one too many.
    pub(crate) met_limit: Option<MetLimit>,
    /// What the access log tells of it; none when there is no log.
    pub(crate) line: Option<Box<LoggedLine>>,
}

impl Request {
    /// What few requests have, if this one has any of it.
    #[inline]
    pub(crate) fn extras(&self) -> Option<&Extras> {
        self.extras.as_deref()
    }

    /// The same, to take something from.
    #[inline]
    pub(crate) fn extras_mut(&mut self) -> Option<&mut Extras> {
        self.extras.as_deref_mut()
    }

    /// The same, to put something in.
    #[cold]
    pub(crate) fn more(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// It does not count for its client any more.
    #[inline]
    pub(crate) fn counts_no_more(&mut self) {
        if let Some(extras) = self.extras_mut() {
            extras.under_way = None;
        }
    }

    /// What the answer's head gets beside its own fields.
    #[inline]
    pub(crate) fn cookie(&self) -> &[u8] {
        self.extras().and_then(|extras| extras.cookie.as_deref()).unwrap_or_default().as_bytes()
    }

    /// Takes from the head all that outlives the poll which parsed it. `outgoing` is the head as it goes
    /// upstream, `most_bytes` the longest body that its route allows.
    #[inline]
    pub(crate) fn new(
        head: &RequestHead<'_>,
        outgoing: Vec<u8>,
        most_bytes: u64,
        routed: Option<Routed>,
        line: Option<Box<LoggedLine>>,
    ) -> Self {
        let edits = routed.as_ref().and_then(|routed| routed.route().edits.as_ref());
        let body = match edits {
            None => Body::of(head.body),
            Some(edits) => Body::edited(head.body, &edits.fields),
        };
        let mut request = Self {
            method: Method::of(head.method),
            version: head.version,
            keep_alive: head.keep_alive,
            expects_continue: head.expects_continue,
            prefers_json: head.prefers_json,
            upload: Upload::new(outgoing, body, most_bytes),
            routed,
            extras: None,
        };
        if line.is_some() {
            request.more().line = line;
        }
        if let Some(upgrade) = head.upgrade {
            request.more().upgrade = Some(upgrade.into());
        }
        request
    }
}
