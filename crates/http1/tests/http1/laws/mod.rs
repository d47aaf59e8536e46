//! What holds for any bytes. Properties and fuzz targets call these; each panics where it does not hold.

pub(crate) mod answer;
pub(crate) mod chunked;
pub(crate) mod forwarding;
pub(crate) mod request;

use berth_http1::Limits;
use berth_http1::forward::Origin;

use crate::reference::{Field, trimmed};

/// The limits that a balancer has when it is told nothing.
pub(crate) const LIMITS: Limits = Limits { head_bytes: 64 * 1024, target_bytes: 16 * 1024, fields: 128 };

/// Limits that short messages exceed.
pub(crate) const TIGHT: Limits = Limits { head_bytes: 100, target_bytes: 12, fields: 3 };

/// A client that may claim nothing.
pub(crate) const STRANGER: Origin<'static> = Origin {
    peer: "192.0.2.1",
    scheme: "http",
    trusted: false,
    fallback_host: "10.0.0.1:80",
    via: true,
    entropy: [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 0],
};

/// A proxy before us that is believed.
pub(crate) const TRUSTED: Origin<'static> = Origin { trusted: true, ..STRANGER };

/// Parses prefix after prefix and tells the first outcome, as for somebody who asks each time that more has come.
/// Long messages are not cut everywhere: that would take the square of their length.
fn grown<T>(bytes: &[u8], parse: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    const DENSE: usize = 384;
    let step = |end: usize| if end < DENSE { 1 } else { 1 + bytes.len() / 16 };
    let mut end = 0;
    while end < bytes.len() {
        if let Some(outcome) = parse(&bytes[..end]) {
            return Some(outcome);
        }
        end += step(end);
    }
    parse(bytes)
}

/// The fields as httparse reads them, in small letters and sorted.
fn sorted(fields: &[httparse::Header<'_>]) -> Vec<Field> {
    let mut fields: Vec<Field> =
        fields.iter().map(|field| (field.name.to_ascii_lowercase(), trimmed(field.value).to_vec())).collect();
    fields.sort();
    fields
}

/// Bytes for a person to read.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
