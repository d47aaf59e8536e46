use std::mem;

/// The largest event that is read, in bytes: a snapshot of more than a registry holds, unless its limits were raised.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name; `message` where the stream gave none.
    pub name: String,
    /// The last event id that the stream gave, in this event or an earlier one.
    pub id: Option<String>,
    /// Its data lines, joined by line feeds.
    pub data: Vec<u8>,
}

/// An event that does not end within the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {limit_bytes} bytes")]
pub struct TooLarge {
    /// The limit in force.
    pub limit_bytes: usize,
}

/// Reads server-sent events out of the bytes of an answer, however those are cut (WHATWG HTML, §9.2.6).
///
/// `retry` fields are ignored: how long to wait is this side's decision. So is an event that the stream ends in.
#[derive(Debug)]
pub struct EventParser {
    limit_bytes: usize,
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// A line feed that comes next belongs to the line end before it.
    after_return: bool,
    is_first_line: bool,
    name: String,
    id: Option<String>,
    data: Vec<u8>,
    has_data: bool,
}

impl EventParser {
    /// A parser for a new stream.
    pub fn new() -> Self {
        Self::with_limit(MAX_EVENT_BYTES)
    }

    /// A parser that refuses events larger than this.
    pub fn with_limit(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            line: Vec::new(),
            after_return: false,
            is_first_line: true,
            name: String::new(),
            id: None,
            data: Vec::new(),
            has_data: false,
        }
    }

    /// Takes the next bytes and hands each event that they complete to `found`.
    ///
    /// # Errors
    /// An event is too large. The parser must not be used after that.
    pub fn feed(&mut self, bytes: &[u8], mut found: impl FnMut(Event)) -> Result<(), TooLarge> {
        let mut rest = bytes;
        if self.after_return && !rest.is_empty() {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.after_return = false;
        }
        while let Some(end) = rest.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            self.check_size(end)?;
            if let Some(event) = self.end_line(&rest[..end]) {
                found(event);
            }
            let is_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if is_return {
                self.after_return = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        self.check_size(rest.len())?;
        self.line.extend_from_slice(rest);
        Ok(())
    }

    fn check_size(&self, more_bytes: usize) -> Result<(), TooLarge> {
        let size = self.data.len() + self.line.len() + more_bytes;
        if size > self.limit_bytes { Err(TooLarge { limit_bytes: self.limit_bytes }) } else { Ok(()) }
    }

    /// Takes what is left of the current line.
    fn end_line(&mut self, tail: &[u8]) -> Option<Event> {
        if self.line.is_empty() {
            return self.take_line(tail);
        }
        let mut line = mem::take(&mut self.line);
        line.extend_from_slice(tail);
        let event = self.take_line(&line);
        line.clear();
        // The buffer of a huge line is not kept for the small ones after it.
        line.shrink_to(64 * 1024);
        self.line = line;
        event
    }

    fn take_line(&mut self, line: &[u8]) -> Option<Event> {
        let is_first = mem::take(&mut self.is_first_line);
        let line = if is_first { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = match line.iter().position(|b| *b == b':') {
            None => (line, &[][..]),
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
        };
        match field {
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"id" if !value.contains(&0) => self.id = Some(String::from_utf8_lossy(value).into_owned()),
            // Comments, which have an empty name, and fields of the future.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = mem::take(&mut self.name);
        let data = mem::take(&mut self.data);
        let name = if name.is_empty() { "message".to_owned() } else { name };
        mem::take(&mut self.has_data).then(|| Event { name, id: self.id.clone(), data })
    }
}

impl Default for EventParser {
    fn default() -> Self {
        Self::new()
    }
}
