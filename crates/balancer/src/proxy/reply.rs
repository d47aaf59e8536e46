//! What a client is told by the balancer itself.

use axum::http::StatusCode;
use berth_http1::forward::{Answer, Downstream, write_answer};
use serde::Serialize;

const TEXT: &str = "text/plain; charset=utf-8";
const PROBLEM: &str = "application/problem+json";

/// An answer with a sentence for whoever reads it. It names nothing that is the operator's business.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) sentence: &'a str,
    /// As a problem document (RFC 9457) rather than as text.
    pub(crate) json: bool,
    /// Whether it answers a HEAD.
    pub(crate) to_head: bool,
    pub(crate) client: Downstream,
}

/// An answer that a route gives itself, or that is given in its place.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    /// Field lines.
    pub(crate) fields: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Told {
    /// A sentence, as a problem document if so.
    pub(crate) fn sentence(status: u16, sentence: &str, json: bool, fields: Vec<u8>) -> Self {
        let (content_type, body) = content(status, sentence, json);
        Self { status, content_type, fields, body }
    }

    /// Appends head and body.
    pub(crate) fn write(&self, to_head: bool, client: Downstream, out: &mut Vec<u8>) {
        let answer = Answer {
            status: self.status,
            reason: reason_of(self.status),
            retry_after_s: None,
            content_type: self.content_type,
            fields: &self.fields,
            body: &self.body,
            to_head,
            client,
        };
        write_answer(&answer, out);
    }
}

/// A sentence as a body, and its type.
fn content(status: u16, sentence: &str, json: bool) -> (&'static str, Vec<u8>) {
    #[derive(Serialize)]
    struct Problem<'a> {
        title: &'a str,
        status: u16,
        detail: &'a str,
    }
    let mut body = if json {
        // Strings and a number always become JSON.
        serde_json::to_vec(&Problem { title: reason_of(status), status, detail: sentence })
            .unwrap_or_default()
    } else {
        sentence.as_bytes().to_vec()
    };
    body.push(b'\n');
    (if json { PROBLEM } else { TEXT }, body)
}

impl Reply<'_> {
    /// Appends head and body.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { status, sentence, to_head, client, .. } = *self;
        let (content_type, body) = content(status, sentence, self.json);
        let retry_after_s = matches!(status, 429 | 503).then_some(1);
        write_answer(
            &Answer {
                status,
                reason: reason_of(status),
                retry_after_s,
                content_type,
                fields: b"",
                body: &body,
                to_head,
                client,
            },
            out,
        );
    }
}

/// The reason phrase of a status (RFC 9110 §15); empty for one that nobody knows.
pub(crate) fn reason_of(status: u16) -> &'static str {
    match status {
        // The names that RFC 9110 has given these.
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        _ => {
            StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
        }
    }
}
