//! A second reading of HTTP/1.1, written from the grammars of RFC 9110, RFC 9112 and RFC 3986 alone: slow, with
//! nothing shared with the first, and plain enough to be held against the text.

pub(crate) mod answer;
pub(crate) mod chunked;
mod host;
pub(crate) mod outgoing;
pub(crate) mod request;

/// What is remarkable about a message, in the strictest reading of the RFCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Note {
    // Against the RFCs, and let through: each is read in one way only.
    /// A visible character in the target that RFC 3986 would have encoded. Everyone sends them, nobody reads them
    /// in two ways, and encoding them would change the path.
    TargetByte,
    /// A `%` in the target without two digits behind it; the upstream judges its own paths.
    TargetPercent,
    /// The same in a Host: it is compared as it is, and never decoded.
    HostPercent,
    /// A member of `Connection` that is no token. No field can have that name.
    ConnectionMember,
    /// `Connection` names a field that is end-to-end (RFC 9110 §7.6.1). The field stays.
    EndToEndNamed,
    /// A TRACE with content (RFC 9110 §9.3.8), whose end is as clear as that of any other.
    TraceContent,
    /// A status line that ends behind the status; many servers leave out the space that must follow.
    NoSpaceBehindStatus,
    /// A status above 599, which has no class.
    OddStatus,
    /// Content-Length or Transfer-Encoding where there never is a body. They are removed.
    FramingWithoutBody,
    /// Behind the `;` of a chunk's size is visible text, but no extension. Nobody acts on extensions.
    Extension,

    // Allowed by the RFCs, and refused.
    /// A second empty line before a request; one may be passed over (RFC 9112 §2.2).
    EmptyLines,
    /// A Host without a name (RFC 9112 §3.2): no route could have it.
    EmptyHost,
    /// A comma in a name: it would look like two Hosts.
    HostComma,
    /// `[v1.x]`: nobody has defined such an address.
    FutureAddress,
    /// A length of more than 19 digits: it may not fit a `u64`.
    LongLength,
    /// The same length twice, or a list of it (RFC 9110 §8.6 allows to take it for one).
    RepeatedLength,
    /// A transfer coding that is not just `chunked` (RFC 9112 §6.1).
    Coding,
    /// More than 16 names in `Connection`.
    ManyNamed,
    /// CONNECT, which a reverse proxy does not serve.
    Connect,
    /// An absolute target with a scheme other than http and https.
    Scheme,
    /// HTTP/x.y other than 1.0 and 1.1.
    Version,
    /// The target exceeds its limit.
    TargetTooLong,
    /// The head exceeds its limit.
    HeadTooLarge,
    /// There are more field lines than the limit.
    TooManyFields,
    /// A chunk's size has more than 15 digits.
    LongSize,
    /// A chunk's extensions have more than 256 bytes.
    LongExtension,
    /// White space between a chunk's size and its extensions (RFC 9112 §7.1.1 calls it bad).
    SizeSpace,
    /// The trailer section exceeds its limit.
    LongTrailers,

    // Against the RFCs, and refused.
    StartLine,
    Target,
    FieldLine,
    Host,
    HostCount,
    Length,
    TwoFramings,
    CodingInHttp10,
    MaxForwards,
    StatusBelow100,
    Chunk,
    /// A trailer of a name that frames or routes (RFC 9110 §6.5.1).
    ForbiddenTrailer,
}

impl Note {
    /// Whether a message is let through in spite of this.
    pub(crate) fn is_tolerated(self) -> bool {
        self < Note::EmptyLines
    }

    /// The status of the answer to a request that is refused for this.
    pub(crate) fn status(self) -> u16 {
        match self {
            Note::Connect => 501,
            Note::Version => 505,
            Note::TargetTooLong => 414,
            Note::HeadTooLarge | Note::TooManyFields => 431,
            _ => 400,
        }
    }
}

/// Whether a message with these notes is let through.
pub(crate) fn tolerated(notes: &[Note]) -> bool {
    notes.iter().all(|note| note.is_tolerated())
}

/// A field: its name in small letters, and its value without white space around it.
pub(crate) type Field = (String, Vec<u8>);

/// A head taken to lines.
pub(crate) struct Head<'b> {
    /// The request line or status line.
    pub(crate) start: &'b [u8],
    pub(crate) fields: Vec<Field>,
    /// How long it is, with the empty line.
    pub(crate) length: usize,
}

/// Takes the head at the front to lines (RFC 9112 §2.1); None: it has no end.
pub(crate) fn head<'b>(bytes: &'b [u8], notes: &mut Vec<Note>) -> Option<Head<'b>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = split_crlf(&bytes[..end]).into_iter();
    let start = lines.next()?;
    let fields = lines.filter_map(|line| field_line(line, notes)).collect();
    Some(Head { start, fields, length: end + 4 })
}

/// `field-line = field-name ":" OWS field-value OWS` (RFC 9112 §5).
pub(crate) fn field_line(line: &[u8], notes: &mut Vec<Note>) -> Option<Field> {
    let colon = line.iter().position(|byte| *byte == b':');
    let parts = colon.map(|colon| (&line[..colon], trimmed(&line[colon + 1..])));
    match parts {
        Some((name, value)) if is_token(name) && is_text(value) => {
            Some((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()))
        }
        _ => {
            notes.push(Note::FieldLine);
            // The line still counts.
            Some((String::new(), Vec::new()))
        }
    }
}

fn split_crlf(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    lines
}

/// Without `OWS` around it (RFC 9110 §5.6.3).
pub(crate) fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// `token = 1*tchar` (RFC 9110 §5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_tchar)
}

/// `VCHAR`, `SP`, `HTAB` and `obs-text` (RFC 9110 §5.5).
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0x21..=0x7E | b' ' | b'\t' | 0x80..=0xFF))
}

/// The values of all fields of a name.
pub(crate) fn values<'f>(fields: &'f [Field], name: &str) -> Vec<&'f [u8]> {
    fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_slice()).collect()
}

/// The members of all lists of a name, without empty ones (RFC 9110 §5.6.1).
pub(crate) fn members<'f>(fields: &'f [Field], name: &str) -> Vec<&'f [u8]> {
    let lists = values(fields, name).into_iter();
    let members = lists.flat_map(|list| list.split(|byte| *byte == b',')).map(trimmed);
    members.filter(|member| !member.is_empty()).collect()
}

/// Whether the lists of a name have this member.
pub(crate) fn lists(fields: &[Field], name: &str, wanted: &str) -> bool {
    members(fields, name).iter().any(|member| member.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// How long a body is, as the fields say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// RFC 9112 §6.3, where everything that could be taken in two ways is noted.
pub(crate) fn framing(fields: &[Field], http10: bool, notes: &mut Vec<Note>) -> Framing {
    let (lengths, codings) = (values(fields, "content-length"), values(fields, "transfer-encoding"));
    if !lengths.is_empty() && !codings.is_empty() {
        notes.push(Note::TwoFramings);
    }
    if lengths.len() > 1 {
        notes.push(Note::RepeatedLength);
    }
    for length in &lengths {
        if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
            notes.push(Note::Length);
        } else if length.len() > 19 {
            notes.push(Note::LongLength);
        }
    }
    if !codings.is_empty() && http10 {
        notes.push(Note::CodingInHttp10);
    }
    if !codings.is_empty() && (codings.len() > 1 || !codings[0].eq_ignore_ascii_case(b"chunked")) {
        notes.push(Note::Coding);
    }
    match (lengths.first(), codings.first()) {
        (_, Some(_)) => Framing::Chunked,
        (Some(length), None) => Framing::Length(number(length)),
        (None, None) => Framing::None,
    }
}

/// `1*DIGIT`; 0 for what is none.
pub(crate) fn number(digits: &[u8]) -> u64 {
    String::from_utf8_lossy(digits).parse().unwrap_or(0)
}

/// What `Connection` says (RFC 9110 §7.6.1, RFC 9112 §9.3).
pub(crate) fn persistent(fields: &[Field], http10: bool, notes: &mut Vec<Note>) -> bool {
    let options = members(fields, "connection");
    if !options.iter().all(|option| is_token(option)) {
        notes.push(Note::ConnectionMember);
    }
    if outgoing::STAY.iter().any(|name| lists(fields, "connection", name)) {
        notes.push(Note::EndToEndNamed);
    }
    let has = |wanted: &str| lists(fields, "connection", wanted);
    let known = ["close", "keep-alive", "upgrade"];
    let is_known = |option: &&[u8]| known.iter().any(|known| option.eq_ignore_ascii_case(known.as_bytes()));
    if options.len() > 16 && !options.iter().all(is_known) {
        notes.push(Note::ManyNamed);
    }
    !has("close") && (!http10 || has("keep-alive"))
}
