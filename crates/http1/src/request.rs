use std::net::Ipv6Addr;

use httparse::{Header, Status};

use crate::fields::{
    ConnectionOptions, Field, FieldSpace, classify, content_length, lines_end_in_crlf, offset_of,
};
use crate::{BodyLength, Refusal, Version};

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The whole head, in bytes.
    pub head_bytes: usize,
    /// The request target, in bytes.
    pub target_bytes: usize,
    /// Field lines; [`crate::MAX_FIELDS`] at most.
    pub fields: usize,
}

/// A request's head, parsed in place. It borrows the bytes and the field space that it was parsed with.
#[derive(Debug)]
pub struct RequestHead<'h, 'b> {
    /// The head, from the method to the empty line.
    pub bytes: &'b [u8],
    /// The method, as it came.
    pub method: &'b str,
    /// What the request asks for, in origin form or `*`: path and query, untouched.
    pub target: &'b str,
    /// The version that the client speaks.
    pub version: Version,
    /// Who is asked: the authority of an absolute target, else the Host field. None in HTTP/1.0 without either.
    pub host: Option<&'b str>,
    /// How long the body is.
    pub body: BodyLength,
    /// Whether the client would send another request on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub expects_continue: bool,
    /// The target came in absolute form, so request line and Host must be written anew.
    pub(crate) absolute: bool,
    pub(crate) fields: &'h [Header<'b>],
    /// The lines that are not passed on, a bit for each field.
    pub(crate) dropped: u128,
    /// The lines by which a client says whom it forwards for; passed on only for trusted ones.
    pub(crate) claims: u128,
}

/// What the fields say, gathered in one pass.
#[derive(Default)]
struct Gathered<'b> {
    hosts: usize,
    host: Option<&'b [u8]>,
    lengths: usize,
    length: Option<u64>,
    codings: usize,
    chunked: bool,
    connection: ConnectionOptions,
    expects_continue: bool,
    dropped: u128,
    claims: u128,
}

impl<'h, 'b> RequestHead<'h, 'b> {
    /// Parses the head at the front of `bytes`. None: it is not all there yet.
    ///
    /// # Errors
    /// The head breaks RFC 9112, can be read in two ways, or exceeds a limit.
    pub fn parse(
        bytes: &'b [u8],
        space: &'h mut FieldSpace<'b>,
        limits: &Limits,
    ) -> Result<Option<Self>, Refusal> {
        // RFC 9112 §2.2: an empty line before the request line is passed over.
        let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        let mut request = httparse::Request::new(&mut []);
        let room = limits.fields.min(space.len());
        let length = match request.parse_with_uninit_headers(bytes, &mut space[..room]) {
            Ok(Status::Complete(length)) if length <= limits.head_bytes => length,
            Ok(Status::Complete(_)) => return Err(Refusal::HeadTooLarge("the head is too large")),
            Ok(Status::Partial) => return incomplete(bytes, limits).map_or(Ok(None), Err),
            Err(error) => return Err(refusal_of(error, bytes)),
        };
        let head = &bytes[..length];
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version)
        else {
            return Err(Refusal::Malformed("the request line is malformed"));
        };
        if offset_of(bytes, method.as_bytes()) != 0 || !lines_end_in_crlf(head, request.headers) {
            return Err(Refusal::Malformed("a line of the head does not end in CRLF"));
        }
        if target.len() > limits.target_bytes {
            return Err(Refusal::TargetTooLong);
        }
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        let gathered = gather(request.headers)?;
        Self::assemble(head, method, target, version, gathered, request.headers).map(Some)
    }

    fn assemble(
        bytes: &'b [u8],
        method: &'b str,
        target: &'b str,
        version: Version,
        mut gathered: Gathered<'b>,
        fields: &'h [Header<'b>],
    ) -> Result<Self, Refusal> {
        let (authority, target) = split_target(method, target)?;
        let host_field = gathered.host.map(check_host).transpose()?;
        if gathered.hosts > 1 || (gathered.hosts == 0 && version == Version::Http11) {
            return Err(Refusal::Malformed("a request has exactly one Host field"));
        }
        if !gathered.connection.mark_named(fields, &mut gathered.dropped) {
            return Err(Refusal::Malformed("Connection names too many fields"));
        }
        Ok(Self {
            bytes,
            method,
            target,
            version,
            host: authority.or(host_field),
            body: body_length(&gathered, version)?,
            keep_alive: gathered.connection.persistent(version),
            expects_continue: gathered.expects_continue && version == Version::Http11,
            absolute: authority.is_some(),
            fields,
            dropped: gathered.dropped,
            claims: gathered.claims,
        })
    }

    /// The value of the first field with this name.
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// Where in `bytes`, which it was parsed from, the head ends and the body begins.
    pub fn consumed(&self, bytes: &[u8]) -> usize {
        offset_of(bytes, self.bytes) + self.bytes.len()
    }
}

fn gather<'b>(fields: &[Header<'b>]) -> Result<Gathered<'b>, Refusal> {
    let mut gathered = Gathered::default();
    for (index, field) in fields.iter().enumerate() {
        let bit = 1_u128 << index;
        match classify(field.name) {
            Field::Other => {}
            Field::Host => {
                gathered.hosts += 1;
                gathered.host = Some(field.value);
            }
            Field::ContentLength => {
                gathered.lengths += 1;
                let malformed = Refusal::Malformed("Content-Length is not a number");
                gathered.length = Some(content_length(field.value).ok_or(malformed)?);
            }
            Field::TransferEncoding => {
                gathered.codings += 1;
                gathered.chunked = field.value.eq_ignore_ascii_case(b"chunked");
            }
            Field::Connection => {
                gathered.connection.add(field.value);
                gathered.dropped |= bit;
            }
            Field::Expect => gathered.expects_continue = field.value.eq_ignore_ascii_case(b"100-continue"),
            Field::ForwardedFor | Field::Forwarded => gathered.claims |= bit,
            Field::OneHop => gathered.dropped |= bit,
        }
    }
    Ok(gathered)
}

fn body_length(gathered: &Gathered<'_>, version: Version) -> Result<BodyLength, Refusal> {
    match (gathered.codings, gathered.lengths) {
        (0, 0) => Ok(BodyLength::Exactly(0)),
        (0, 1) => Ok(BodyLength::Exactly(gathered.length.unwrap_or(0))),
        (0, _) => Err(Refusal::Malformed("a request has at most one Content-Length")),
        (_, 1..) => Err(Refusal::Malformed("a request has Content-Length or Transfer-Encoding, not both")),
        (1, 0) if gathered.chunked && version == Version::Http11 => Ok(BodyLength::Chunked),
        (1, 0) if gathered.chunked => Err(Refusal::Malformed("HTTP/1.0 has no Transfer-Encoding")),
        _ => Err(Refusal::Malformed("the only transfer coding is chunked")),
    }
}

/// The bytes of a request target: visible ASCII but for the mark of a fragment.
const TARGET_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        allowed[byte as usize] = byte != b'#';
        byte += 1;
    }
    allowed
};

/// The bytes of a host's name (`reg-name` of RFC 3986 §3.2.2), without the comma: it would look like a list.
const NAME_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        allowed[index] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'%'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b';'
                    | b'='
            );
        index += 1;
    }
    allowed
};

/// Splits the request target (RFC 9112 §3.2) into the authority of an absolute form and the origin form.
fn split_target<'b>(method: &str, target: &'b str) -> Result<(Option<&'b str>, &'b str), Refusal> {
    // The parser lets obs-text through; a fragment never travels.
    if !target.bytes().all(|byte| TARGET_BYTES[usize::from(byte)]) {
        return Err(Refusal::Malformed("the request target has a character that must be encoded"));
    }
    if method == "CONNECT" {
        return Err(Refusal::Connect);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((None, target));
    }
    let malformed = Refusal::Malformed("the request target is neither a path nor a URL");
    let (scheme, rest) = target.split_once("://").ok_or(malformed)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(malformed);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() {
        return Err(malformed);
    }
    check_host(authority.as_bytes())?;
    // An absolute form may have no path; a query without one needs it put in front, which is not worth it.
    match path.as_bytes().first() {
        None if method == "OPTIONS" => Ok((Some(authority), "*")),
        None => Ok((Some(authority), "/")),
        Some(b'/') => Ok((Some(authority), path)),
        Some(_) => Err(malformed),
    }
}

/// A Host: a name or an address and perhaps a port (RFC 9110 §7.2), no user information. It is never empty
/// (RFC 9110 §4.2.1).
fn check_host(value: &[u8]) -> Result<&str, Refusal> {
    let malformed = Refusal::Malformed("Host is malformed");
    let text = std::str::from_utf8(value).map_err(|_| malformed)?;
    let (is_host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']').ok_or(malformed)?;
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let end = value.iter().position(|byte| !NAME_BYTES[usize::from(*byte)]).unwrap_or(value.len());
        (end > 0, &text[end..])
    };
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_number);
    if is_host && is_port { Ok(text) } else { Err(malformed) }
}

/// Whether a head that is not all there is already too large.
fn incomplete(bytes: &[u8], limits: &Limits) -> Option<Refusal> {
    let target = bytes.split(|byte| *byte == b' ').nth(1);
    if target.is_some_and(|target| target.len() > limits.target_bytes) {
        return Some(Refusal::TargetTooLong);
    }
    (bytes.len() >= limits.head_bytes).then_some(Refusal::HeadTooLarge("the head is too large"))
}

fn refusal_of(error: httparse::Error, bytes: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::HeadTooLarge("the head has too many fields"),
        httparse::Error::Version if names_other_version(bytes) => Refusal::Version,
        httparse::Error::HeaderName => Refusal::Malformed("a field name is malformed"),
        httparse::Error::HeaderValue => Refusal::Malformed("a field value is malformed"),
        httparse::Error::NewLine => Refusal::Malformed("a line of the head does not end in CRLF"),
        _ => Refusal::Malformed("the request line is malformed"),
    }
}

/// Whether the request line ends in a version of HTTP that is none of ours, rather than in something else.
fn names_other_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let word = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let version = word.strip_prefix(b"HTTP/").unwrap_or_default();
    let is_number = !version.is_empty() && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    is_number && !matches!(version, b"1.0" | b"1.1")
}
