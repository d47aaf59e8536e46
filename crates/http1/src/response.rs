use httparse::{Header, Status};

use crate::fields::{ConnectionOptions, Field, FieldSpace, classify, content_length, lines_end_in_crlf};
use crate::{BadAnswer, BodyLength, Version};

/// The largest head of an answer, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// An answer's head, parsed in place. It borrows the bytes and the field space that it was parsed with.
#[derive(Debug)]
pub struct ResponseHead<'h, 'b> {
    /// The head, from the version to the empty line.
    pub bytes: &'b [u8],
    /// The status code, 100 to 999.
    pub status: u16,
    /// The version that the upstream speaks.
    pub version: Version,
    /// How long the body is.
    pub body: BodyLength,
    /// Whether the upstream would take another request on this connection after this answer.
    pub keep_alive: bool,
    pub(crate) fields: &'h [Header<'b>],
    /// The lines that are not passed on, a bit for each field.
    pub(crate) dropped: u128,
}

impl<'h, 'b> ResponseHead<'h, 'b> {
    /// Parses the head at the front of `bytes`, None: it is not all there yet. `to_head` says that it
    /// answers a HEAD request.
    ///
    /// # Errors
    /// The head breaks RFC 9112, can be read in two ways, or is too large.
    pub fn parse(
        bytes: &'b [u8],
        space: &'h mut FieldSpace<'b>,
        to_head: bool,
    ) -> Result<Option<Self>, BadAnswer> {
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let length = match config.parse_response_with_uninit_headers(&mut response, bytes, space) {
            Ok(Status::Complete(length)) if length <= MAX_HEAD_BYTES => length,
            Ok(Status::Partial) if bytes.len() < MAX_HEAD_BYTES => return Ok(None),
            Ok(_) => return Err(BadAnswer("the head is too large")),
            Err(httparse::Error::TooManyHeaders) => return Err(BadAnswer("the head has too many fields")),
            Err(_) => return Err(BadAnswer("the head is malformed")),
        };
        let head = &bytes[..length];
        let (Some(status), Some(version)) = (response.code, response.version) else {
            return Err(BadAnswer("the status line is malformed"));
        };
        if !head.starts_with(b"HTTP/") || !lines_end_in_crlf(head, response.headers) {
            return Err(BadAnswer("a line of the head does not end in CRLF"));
        }
        // Below 100 there is no class, and nothing may take it for an interim answer.
        if status < 100 {
            return Err(BadAnswer("the status code is none"));
        }
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        Self::assemble(head, status, version, to_head, response.headers).map(Some)
    }

    fn assemble(
        bytes: &'b [u8],
        status: u16,
        version: Version,
        to_head: bool,
        fields: &'h [Header<'b>],
    ) -> Result<Self, BadAnswer> {
        let (mut lengths, mut length, mut codings, mut framing, mut dropped) = (0, 0, 0, 0_u128, 0_u128);
        let mut chunked = false;
        let mut connection = ConnectionOptions::default();
        for (index, field) in fields.iter().enumerate() {
            let bit = 1_u128 << index;
            match classify(field.name) {
                Field::ContentLength => {
                    lengths += 1;
                    length =
                        content_length(field.value).ok_or(BadAnswer("Content-Length is not a number"))?;
                    framing |= bit;
                }
                Field::TransferEncoding => {
                    codings += 1;
                    chunked = field.value.eq_ignore_ascii_case(b"chunked");
                    framing |= bit;
                }
                Field::Connection => {
                    connection.add(field.value);
                    dropped |= bit;
                }
                Field::OneHop => dropped |= bit,
                _ => {}
            }
        }
        if !connection.mark_named(fields, &mut dropped) {
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
        Ok(Self { bytes, status, version, body, keep_alive, fields, dropped })
    }
}
