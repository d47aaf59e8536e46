use crate::fields::{ConnectionOptions, Field, content_length, offers_protocol, protocols};
use crate::lines::{Line, Lines, Stop, read_lines, skip_crlf, skip_text};
use crate::{BadAnswer, BodyLength, MAX_FIELDS, Version};

/// The largest head of an answer, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// An answer's head, parsed in place. It borrows the bytes and the lines that it was parsed with.
#[derive(Debug)]
pub struct ResponseHead<'a> {
    /// The head, from the version to the empty line.
    pub bytes: &'a [u8],
    /// The status code, 100 to 999.
    pub status: u16,
    /// The version that the upstream speaks.
    pub version: Version,
    /// How long the body is.
    pub body: BodyLength,
    /// Whether the upstream would take another request on this connection after this answer.
    pub keep_alive: bool,
    /// The value of `Upgrade` in an answer that is about it: 101 names the protocol that follows, 426 the one that
    /// is required (RFC 9110 §15.2.2, §15.5.22). None where it does not say so clearly.
    pub upgrade: Option<&'a [u8]>,
    /// The value of `X-Berth-Load`, which is not passed on: what the endpoint says of its load.
    pub load: Option<&'a [u8]>,
    pub(crate) lines: &'a [Line],
    /// The lines that are not passed on, a bit for each.
    pub(crate) dropped: u128,
}

impl<'a> ResponseHead<'a> {
    /// Parses the head at the front of `bytes`, None: it is not all there yet. `to_head` says that it
    /// answers a HEAD request.
    ///
    /// # Errors
    /// The head breaks RFC 9112, can be read in two ways, or is too large.
    pub fn parse(bytes: &'a [u8], lines: &'a mut Lines, to_head: bool) -> Result<Option<Self>, BadAnswer> {
        let window = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
        let room = lines.room(MAX_FIELDS);
        let read = read_status_line(window)
            .and_then(|(version, status, end)| Ok((version, status, read_lines(window, end, room)?)));
        match read {
            Ok((version, status, (count, end))) => {
                Self::assemble(&window[..end], status, version, to_head, &room[..count]).map(Some)
            }
            Err(Stop::Partial) if bytes.len() < MAX_HEAD_BYTES => Ok(None),
            Err(Stop::Partial) => Err(BadAnswer("the head is too large")),
            Err(Stop::TooManyFields) => Err(BadAnswer("the head has too many fields")),
            Err(Stop::Bad(problem)) => Err(BadAnswer(problem)),
        }
    }

    #[inline]
    fn assemble(
        bytes: &'a [u8],
        status: u16,
        version: Version,
        to_head: bool,
        lines: &'a [Line],
    ) -> Result<Self, BadAnswer> {
        let (mut lengths, mut length, mut codings, mut framing, mut dropped) = (0, 0, 0, 0_u128, 0_u128);
        let (mut chunked, mut upgrades, mut upgrade, mut load) = (false, 0, None, None);
        let mut connection = ConnectionOptions::default();
        for (index, line) in lines.iter().enumerate() {
            let bit = 1_u128 << index;
            match line.field {
                Field::ContentLength => {
                    lengths += 1;
                    length = content_length(line.value(bytes))
                        .ok_or(BadAnswer("Content-Length is not a number"))?;
                    framing |= bit;
                }
                Field::TransferEncoding => {
                    codings += 1;
                    chunked = line.value(bytes).eq_ignore_ascii_case(b"chunked");
                    framing |= bit;
                }
                Field::Connection => {
                    connection.add(line.value(bytes));
                    dropped |= bit;
                }
                Field::Upgrade => {
                    upgrades += 1;
                    upgrade = Some(line.value(bytes));
                    dropped |= bit;
                }
                Field::Load => {
                    load = Some(line.value(bytes));
                    dropped |= bit;
                }
                Field::OneHop | Field::Te => dropped |= bit,
                _ => {}
            }
        }
        if !connection.mark_named(bytes, lines, &mut dropped) {
            return Err(BadAnswer("Connection names too many fields"));
        }
        let announced = match (codings, lengths) {
            (0, 0) => BodyLength::UntilClose,
            (0, 1) => BodyLength::Exactly(length),
            (1, 0) if chunked && version == Version::Http11 => BodyLength::Chunked,
            (0, _) => return Err(BadAnswer("it has more than one Content-Length")),
            (_, 1..) => return Err(BadAnswer("it has both Content-Length and Transfer-Encoding")),
            _ => return Err(BadAnswer("its transfer coding is not just chunked")),
        };
        // RFC 9112 §6.3: these never have a body, whatever their fields say; and RFC 9110 §8.6 forbids the
        // fields in the first two, so that no reader takes what follows for a body.
        let bodiless = matches!(status, 100..=199 | 204);
        if bodiless {
            dropped |= framing;
        }
        let body = if bodiless || status == 304 || to_head { BodyLength::Exactly(0) } else { announced };
        let keep_alive = connection.persistent(version) && body != BodyLength::UntilClose;
        let is_upgrade =
            |value: &&[u8]| matches!(status, 101 | 426) && upgrades == 1 && offers_protocol(value);
        let upgrade = upgrade.filter(is_upgrade);
        Ok(Self { bytes, status, version, body, keep_alive, upgrade, load, lines, dropped })
    }

    /// Whether a 101 switches to what the request asked for; `asked` is the value of its `Upgrade`.
    pub fn switches_to(&self, asked: &[u8]) -> bool {
        let was_asked = |chosen: &[u8]| protocols(asked).any(|known| known.eq_ignore_ascii_case(chosen));
        self.upgrade.is_some_and(|chosen| protocols(chosen).all(was_asked))
    }
}

/// `HTTP/1.1 200 OK`. The reason may be empty, and many leave out the space before it then.
#[inline]
fn read_status_line(bytes: &[u8]) -> Result<(Version, u16, usize), Stop> {
    const MALFORMED: Stop = Stop::Bad("the status line is malformed");
    let Some(start) = bytes.first_chunk::<12>() else {
        // What is there must be the beginning of one.
        let shape = b"HTTP/1.1 200";
        let fits = |(byte, shape): (&u8, &u8)| match shape {
            b'0'..=b'9' => byte.is_ascii_digit(),
            _ => byte == shape,
        };
        return Err(if bytes.iter().zip(shape).all(fits) { Stop::Partial } else { MALFORMED });
    };
    let version = match start[..9] {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' '] => Version::Http11,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b' '] => Version::Http10,
        _ => return Err(MALFORMED),
    };
    let mut status = 0;
    for digit in &start[9..] {
        if !digit.is_ascii_digit() {
            return Err(MALFORMED);
        }
        status = status * 10 + u16::from(digit - b'0');
    }
    // Below 100 there is no class, and nothing may take it for an interim answer.
    if status < 100 {
        return Err(Stop::Bad("the status code is none"));
    }
    let end = match bytes.get(12) {
        Some(b' ') => skip_text(bytes, 13),
        Some(b'\r') => 12,
        Some(_) => return Err(MALFORMED),
        None => return Err(Stop::Partial),
    };
    Ok((version, status, skip_crlf(bytes, end)?))
}
