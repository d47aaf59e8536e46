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

impl Reply<'_> {
    /// Appends head and body.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Problem<'a> {
            title: &'a str,
            status: u16,
            detail: &'a str,
        }
        let Self { status, sentence, to_head, client, .. } = *self;
        let reason = reason_of(status);
        let mut body = if self.json {
            // Strings and a number always become JSON.
            serde_json::to_vec(&Problem { title: reason, status, detail: sentence }).unwrap_or_default()
        } else {
            sentence.as_bytes().to_vec()
        };
        body.push(b'\n');
        let content_type = if self.json { PROBLEM } else { TEXT };
        let retry_after_s = (status == 503).then_some(1);
        write_answer(
            &Answer {
                status,
                reason,
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
