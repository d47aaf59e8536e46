use std::time::Duration;

/// What a large body is, and what each of its chunks: more than a replay buffer of 64 KiB holds.
pub(crate) const LARGE_BYTES: usize = 100 << 10;
const CHUNK_BYTES: usize = 10 << 10;

/// Of large bodies and contents: a byte that is in no id, name or chunk's head.
pub(crate) const FILLER: u8 = b'#';
const LARGE_ANSWER_BYTES: usize = 200 << 10;

/// How an instance pauses between the two pieces of a head.
pub(crate) const PAUSE: Duration = Duration::from_millis(4);

/// What sort of request it is. An instance knows it by the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Get,
    /// It takes so many milliseconds.
    SlowGet(u64),
    /// The head of its answer comes in two pieces.
    PiecesGet,
    /// Its answer is large.
    LargeGet,
    Post,
    /// Its body is large, and comes in chunks.
    LargePost,
}

impl Shape {
    /// Of the request with this number: of a hundred GETs so many are slow, and so many more as make twenty have their
    /// answer in pieces; one of fifty requests is large.
    pub(crate) fn of(number: u64, is_post: bool, slow: u64) -> Self {
        // Any constant that mixes well would do: what is slow must not depend on what is fresh.
        let dice = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        match (dice % 100, is_post) {
            (0..2, true) => Self::LargePost,
            (_, true) => Self::Post,
            (place, false) if place < slow => Self::SlowGet(1000 + dice / 100 % 2001),
            (0..20, false) => Self::PiecesGet,
            (20..22, false) => Self::LargeGet,
            (_, false) => Self::Get,
        }
    }

    pub(crate) fn is_post(self) -> bool {
        matches!(self, Self::Post | Self::LargePost)
    }

    /// How long its answer takes by its own wish, in milliseconds; 0: as long as others.
    pub(crate) fn asked_ms(self) -> u64 {
        if let Self::SlowGet(ms) = self { ms } else { 0 }
    }

    /// How much stands behind the first line of its answer.
    pub(crate) fn answer_bytes(self) -> usize {
        if self == Self::LargeGet { LARGE_ANSWER_BYTES } else { 0 }
    }

    /// The path, without the id behind it.
    pub(crate) fn path(self) -> String {
        match self {
            Self::Get => "/get".to_owned(),
            Self::SlowGet(ms) => format!("/slow/{ms}"),
            Self::PiecesGet => "/pieces".to_owned(),
            Self::LargeGet => "/large".to_owned(),
            Self::Post | Self::LargePost => "/post".to_owned(),
        }
    }

    /// Of a request with this path; a GET like any other if nothing else is asked for.
    pub(crate) fn at(method: &str, path: &str) -> Self {
        let mut words = path.split('/').skip(1);
        match (method, words.next()) {
            ("POST", _) => Self::Post,
            (_, Some("slow")) => Self::SlowGet(words.next().and_then(|ms| ms.parse().ok()).unwrap_or(0)),
            (_, Some("pieces")) => Self::PiecesGet,
            (_, Some("large")) => Self::LargeGet,
            _ => Self::Get,
        }
    }
}

/// A large body as it goes over the wire, to its last chunk.
pub(crate) fn large_body() -> Vec<u8> {
    let chunk =
        [format!("{CHUNK_BYTES:x}\r\n").as_bytes(), &[FILLER; CHUNK_BYTES], b"\r\n".as_slice()].concat();
    [chunk.repeat(LARGE_BYTES / CHUNK_BYTES).as_slice(), b"0\r\n\r\n"].concat()
}

/// How much of it is filler.
pub(crate) fn filler_bytes(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == FILLER).count()
}
