use crate::fields::{ConnectionOptions, Field, content_length, members, offers_protocol};
use crate::lines::{Line, Lines, Stop, TOKEN_BYTES, read_lines, skip, skip_crlf};
use crate::target::{TARGET_BYTES, check_host, split_target};
use crate::{BodyLength, Refusal, Version};

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The whole head, in bytes; no more than a `u32` counts.
    pub head_bytes: usize,
    /// The request target, in bytes.
    pub target_bytes: usize,
    /// Field lines; [`crate::MAX_FIELDS`] at most.
    pub fields: usize,
}

impl Limits {
    /// The bytes in which a head must end, and whether more of them may come.
    pub(crate) fn window<'b>(&self, bytes: &'b [u8]) -> (&'b [u8], bool) {
        let most = self.head_bytes.min(u32::MAX as usize);
        if bytes.len() < most { (bytes, true) } else { (&bytes[..most], false) }
    }
}

/// A request's head, parsed in place. It borrows the bytes and the lines that it was parsed with.
#[derive(Debug)]
pub struct RequestHead<'a> {
    /// The head, from the method to the empty line.
    pub bytes: &'a [u8],
    /// The method, as it came.
    pub method: &'a [u8],
    /// What the request asks for, in origin form or `*`: path and query, untouched. The path is empty where a
    /// target in absolute form has none.
    pub target: &'a [u8],
    /// The version that the client speaks.
    pub version: Version,
    /// Who is asked: the authority of an absolute target, else the Host field. None in HTTP/1.0 without either.
    pub host: Option<&'a [u8]>,
    /// How long the body is.
    pub body: BodyLength,
    /// Whether the client would send another request on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub expects_continue: bool,
    /// Whether the client would rather have an error as JSON.
    pub prefers_json: bool,
    /// The value of `Upgrade`, where the client asks for another protocol on this connection (RFC 9110 §7.8) that a
    /// proxy can pass on.
    pub upgrade: Option<&'a [u8]>,
    /// How often a TRACE or OPTIONS may still be forwarded (RFC 9110 §7.6.2).
    pub max_forwards: Option<u64>,
    /// Empty lines before the head and the head, in bytes: where the body begins.
    pub consumed: usize,
    /// The target came in absolute form, so request line and Host must be written anew.
    pub(crate) absolute: bool,
    /// Whether the client reads trailers (RFC 9110 §10.1.4).
    pub(crate) reads_trailers: bool,
    pub(crate) has_request_id: bool,
    pub(crate) has_trace_parent: bool,
    pub(crate) lines: &'a [Line],
    /// The lines that are not passed on, a bit for each.
    pub(crate) dropped: u128,
    /// The lines by which a client says whom it forwards for; passed on only for trusted ones.
    pub(crate) claims: u128,
}

/// Method, target and version.
struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version: Version,
    end: usize,
}

/// What the fields say, gathered in one pass.
#[derive(Default)]
struct Gathered<'a> {
    hosts: usize,
    host: Option<&'a [u8]>,
    lengths: usize,
    length: u64,
    codings: usize,
    chunked: bool,
    connection: ConnectionOptions,
    upgrades: usize,
    upgrade: Option<&'a [u8]>,
    expects_continue: bool,
    prefers_json: bool,
    reads_trailers: bool,
    has_request_id: bool,
    has_trace_parent: bool,
    max_forwards: Option<&'a [u8]>,
    dropped: u128,
    claims: u128,
}

impl<'a> RequestHead<'a> {
    /// Parses the head at the front of `bytes`. None: it is not all there yet.
    ///
    /// # Errors
    /// The head breaks RFC 9112, can be read in two ways, or exceeds a limit.
    pub fn parse(bytes: &'a [u8], lines: &'a mut Lines, limits: &Limits) -> Result<Option<Self>, Refusal> {
        // RFC 9112 §2.2: an empty line before the request line is passed over.
        let (before, bytes) = match bytes {
            [b'\r', b'\n', rest @ ..] => (2, rest),
            [b'\r'] => return Ok(None),
            _ => (0, bytes),
        };
        let (window, may_grow) = limits.window(bytes);
        let room = lines.room(limits.fields);
        let read = read_request_line(window, limits)
            .and_then(|line| Ok((read_lines(window, line.end, room).map_err(Problem::from)?, line)));
        match read {
            Ok(((count, end), line)) => {
                let head = Self::assemble(&window[..end], &line, &room[..count], before)?;
                Ok(Some(head))
            }
            Err(Problem::Stop(Stop::Partial)) if may_grow => Ok(None),
            Err(problem) => Err(problem.refusal()),
        }
    }

    #[inline]
    fn assemble(
        bytes: &'a [u8],
        line: &RequestLine<'a>,
        lines: &'a [Line],
        before: usize,
    ) -> Result<Self, Refusal> {
        let mut gathered = gather(bytes, lines)?;
        let (authority, target) = split_target(line.method, line.target)?;
        if let Some(host) = gathered.host {
            check_host(host)?;
        }
        if gathered.hosts > 1 || (gathered.hosts == 0 && line.version == Version::Http11) {
            return Err(Refusal::Malformed("a request has exactly one Host field"));
        }
        if !gathered.connection.mark_named(bytes, lines, &mut gathered.dropped) {
            return Err(Refusal::Malformed("Connection names too many fields"));
        }
        let body = body_length(&gathered, line.version)?;
        Ok(Self {
            bytes,
            method: line.method,
            target,
            version: line.version,
            host: authority.or(gathered.host),
            body,
            keep_alive: gathered.connection.persistent(line.version),
            expects_continue: gathered.expects_continue && line.version == Version::Http11,
            prefers_json: gathered.prefers_json,
            upgrade: upgrade(&gathered, line.version, body),
            max_forwards: max_forwards(line.method, gathered.max_forwards)?,
            consumed: before + bytes.len(),
            absolute: authority.is_some(),
            reads_trailers: gathered.reads_trailers,
            has_request_id: gathered.has_request_id,
            has_trace_parent: gathered.has_trace_parent,
            lines,
            dropped: gathered.dropped,
            claims: gathered.claims,
        })
    }

    /// The value of the first cookie with this name (RFC 6265 §4.2.1).
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        let fields = self.lines.iter().filter(|line| line.name(self.bytes).eq_ignore_ascii_case(b"cookie"));
        let mut pairs = fields.flat_map(|line| line.value(self.bytes).split(|byte| *byte == b';'));
        pairs.find_map(|pair| {
            let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
            value.strip_prefix(b"=")
        })
    }

    /// Whether it has a field of this name with this value.
    pub fn has_field(&self, name: &str, value: &str) -> bool {
        let is_it = |line: &Line| {
            line.value(self.bytes) == value.as_bytes()
                && line.name(self.bytes).eq_ignore_ascii_case(name.as_bytes())
        };
        self.lines.iter().any(is_it)
    }

    /// The value of the first field with this name.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields(name).next()
    }

    /// The values of all fields with this name.
    pub fn fields<'n>(&self, name: &'n str) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a, 'n> {
        let (bytes, lines) = (self.bytes, self.lines);
        let named = lines.iter().filter(move |line| line.name(bytes).eq_ignore_ascii_case(name.as_bytes()));
        named.map(move |line| line.value(bytes))
    }
}

enum Problem {
    Stop(Stop),
    Refusal(Refusal),
}

impl From<Stop> for Problem {
    fn from(stop: Stop) -> Self {
        Problem::Stop(stop)
    }
}

impl Problem {
    #[cold]
    fn refusal(self) -> Refusal {
        match self {
            Problem::Refusal(refusal) => refusal,
            Problem::Stop(Stop::Bad(problem)) => Refusal::Malformed(problem),
            Problem::Stop(Stop::Partial) => Refusal::HeadTooLarge("the head is too large"),
            Problem::Stop(Stop::TooManyFields) => Refusal::HeadTooLarge("the head has too many fields"),
        }
    }
}

#[inline]
fn read_request_line<'a>(bytes: &'a [u8], limits: &Limits) -> Result<RequestLine<'a>, Problem> {
    let method_end = skip(bytes, 0, &TOKEN_BYTES);
    match bytes.get(method_end) {
        Some(b' ') if method_end > 0 => {}
        Some(_) => return Err(Stop::Bad("the method is malformed").into()),
        None => return Err(Stop::Partial.into()),
    }
    let start = method_end + 1;
    let end = skip(bytes, start, &TARGET_BYTES);
    if end - start > limits.target_bytes {
        return Err(Problem::Refusal(Refusal::TargetTooLong));
    }
    match bytes.get(end) {
        Some(b' ') if end > start => {}
        Some(b' ') => return Err(Stop::Bad("the request line has no target").into()),
        Some(b'\r' | b'\n') => return Err(Stop::Bad("the request line has no version").into()),
        Some(_) => {
            return Err(Stop::Bad("the request target has a character that must be encoded").into());
        }
        None => return Err(Stop::Partial.into()),
    }
    let version = match bytes[end + 1..].first_chunk() {
        Some(b"HTTP/1.1\r\n") => Version::Http11,
        Some(b"HTTP/1.0\r\n") => Version::Http10,
        _ => return Err(other_version(bytes, end + 1)),
    };
    Ok(RequestLine { method: &bytes[..method_end], target: &bytes[start..end], version, end: end + 11 })
}

/// What is wrong with the end of a request line: it is not all there, names a version of HTTP that is none of
/// ours, or something else.
#[cold]
fn other_version(bytes: &[u8], at: usize) -> Problem {
    const MALFORMED: Problem = Problem::Stop(Stop::Bad("the request line is malformed"));
    let rest = &bytes[at..];
    let name = b"HTTP/";
    let common = rest.iter().zip(name).take_while(|(byte, wanted)| byte == wanted).count();
    if common < name.len() {
        return if common == rest.len() { Stop::Partial.into() } else { MALFORMED };
    }
    let number = &rest[name.len()..];
    let digits = number.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.');
    let digits = digits.unwrap_or(number.len());
    let is_number = number.first().is_none_or(u8::is_ascii_digit) && digits <= 8;
    match skip_crlf(bytes, at + name.len() + digits) {
        _ if !is_number => MALFORMED,
        Ok(_) if digits == 0 => MALFORMED,
        Ok(_) => Problem::Refusal(Refusal::Version),
        Err(stop) => stop.into(),
    }
}

#[inline]
fn gather<'a>(head: &'a [u8], lines: &[Line]) -> Result<Gathered<'a>, Refusal> {
    let mut gathered = Gathered::default();
    for (index, line) in lines.iter().enumerate() {
        if line.field != Field::Other {
            gathered.add(line.field, line.value(head), 1 << index)?;
        }
    }
    Ok(gathered)
}

impl<'a> Gathered<'a> {
    fn add(&mut self, field: Field, value: &'a [u8], bit: u128) -> Result<(), Refusal> {
        match field {
            Field::Load | Field::Other => {}
            Field::Host => {
                self.hosts += 1;
                self.host = Some(value);
            }
            Field::ContentLength => {
                self.lengths += 1;
                let malformed = Refusal::Malformed("Content-Length is not a number");
                self.length = content_length(value).ok_or(malformed)?;
            }
            Field::TransferEncoding => {
                self.codings += 1;
                self.chunked = value.eq_ignore_ascii_case(b"chunked");
            }
            Field::Connection => {
                self.connection.add(value);
                self.dropped |= bit;
            }
            Field::Upgrade => {
                self.upgrades += 1;
                self.upgrade = Some(value);
                self.dropped |= bit;
            }
            Field::Te => {
                self.reads_trailers |= members(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
                self.dropped |= bit;
            }
            Field::Expect => self.expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
            Field::Accept => self.prefers_json |= prefers_json(value),
            // Two would be two numbers: together they are none.
            Field::MaxForwards => self.max_forwards = Some(self.max_forwards.map_or(value, |_| b"")),
            Field::RequestId => self.has_request_id = true,
            Field::TraceParent => self.has_trace_parent = true,
            Field::ForwardedFor | Field::Forwarded => self.claims |= bit,
            Field::OneHop | Field::LookAlike => self.dropped |= bit,
        }
        Ok(())
    }
}

/// Whether JSON is named, and nothing that people read before it.
#[inline]
fn prefers_json(accept: &[u8]) -> bool {
    accept != b"*/*" && names_json_first(accept)
}

fn names_json_first(accept: &[u8]) -> bool {
    let kind = |range: &'_ [u8]| -> Option<bool> {
        let end = range.iter().position(|byte| *byte == b';').unwrap_or(range.len());
        let kind = range[..end].trim_ascii();
        let is_json = kind.eq_ignore_ascii_case(b"application/json")
            || kind.eq_ignore_ascii_case(b"application/problem+json");
        let is_text = kind.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"text/"));
        (is_json || is_text).then_some(is_json)
    };
    members(accept).find_map(kind).unwrap_or(false)
}

#[inline]
fn body_length(gathered: &Gathered<'_>, version: Version) -> Result<BodyLength, Refusal> {
    match (gathered.codings, gathered.lengths) {
        (0, 0) => Ok(BodyLength::Exactly(0)),
        (0, 1) => Ok(BodyLength::Exactly(gathered.length)),
        (0, _) => Err(Refusal::Malformed("a request has at most one Content-Length")),
        (_, 1..) => Err(Refusal::Malformed("a request has Content-Length or Transfer-Encoding, not both")),
        (1, 0) if gathered.chunked && version == Version::Http11 => Ok(BodyLength::Chunked),
        (1, 0) if gathered.chunked => Err(Refusal::Malformed("HTTP/1.0 has no Transfer-Encoding")),
        _ => Err(Refusal::Malformed("the only transfer coding is chunked")),
    }
}

/// The protocols that are asked for. A request with a body is not upgraded, nor one of HTTP/1.0: whoever gets an
/// `Upgrade` may ignore it (RFC 9110 §7.8), and these would only make the end of the request harder to find.
fn upgrade<'a>(gathered: &Gathered<'a>, version: Version, body: BodyLength) -> Option<&'a [u8]> {
    let value = gathered.upgrade?;
    let asked = gathered.connection.upgrade
        && gathered.upgrades == 1
        && version == Version::Http11
        && body == BodyLength::Exactly(0)
        && offers_protocol(value);
    asked.then_some(value)
}

/// RFC 9110 §7.6.2: only TRACE and OPTIONS are counted.
#[inline]
fn max_forwards(method: &[u8], value: Option<&[u8]>) -> Result<Option<u64>, Refusal> {
    match value {
        Some(value) if method == b"TRACE" || method == b"OPTIONS" => {
            let number = content_length(value);
            number.map(Some).ok_or(Refusal::Malformed("Max-Forwards is not a number"))
        }
        _ => Ok(None),
    }
}
