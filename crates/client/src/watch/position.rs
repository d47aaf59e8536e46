use berth_model::{Change, Revision, Snapshot, Tick};

use super::Update;
use crate::Event;
use crate::stream::{Failure, read};

/// What an event says.
#[derive(Debug)]
pub(super) enum Message {
    Snapshot(Snapshot),
    Change(Change),
    Tick(Tick),
}

impl Message {
    /// None for an event that a later version of the registry may send.
    pub(super) fn decode(event: &Event) -> Result<Option<Self>, Failure> {
        match event.name.as_str() {
            "snapshot" => read(event).map(Message::Snapshot).map(Some),
            "change" => read(event).map(Message::Change).map(Some),
            "tick" => read(event).map(Message::Tick).map(Some),
            _ => Ok(None),
        }
    }
}

/// The stream does not continue what was seen: only a snapshot helps.
#[derive(Debug)]
pub(super) struct Gap;

/// Where the reader stands in the registry's history.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// The last snapshot or change that was told.
    seen: Option<Revision>,
    /// Where a new stream resumes. Ticks move it past changes of services that this stream does not carry.
    resume: Option<Revision>,
}

impl Position {
    /// The event id to resume after; none asks for a snapshot.
    pub(super) fn resume(&self) -> Option<Revision> {
        self.resume
    }

    /// Whether this is what was seen last.
    pub(super) fn is_at(&self, revision: Revision) -> bool {
        self.seen == Some(revision)
    }

    /// A snapshot that came otherwise than by a stream, which cannot resume from it: the answers that it is
    /// made of may be of different moments.
    pub(super) fn jump(&mut self, revision: Revision) {
        *self = Self { seen: Some(revision), resume: None };
    }

    /// Moves on, and says what to tell the reader.
    pub(super) fn take(&mut self, message: Message) -> Result<Option<Update>, Gap> {
        match message {
            Message::Snapshot(snapshot) => {
                *self = Self { seen: Some(snapshot.revision), resume: Some(snapshot.revision) };
                Ok(Some(Update::Snapshot(snapshot)))
            }
            Message::Change(change) => {
                let seen = self.seen.filter(|seen| seen.epoch == change.revision.epoch).ok_or(Gap)?;
                if change.revision.sequence <= seen.sequence {
                    return Ok(None);
                }
                self.seen = Some(change.revision);
                self.resume_after(change.revision);
                Ok(Some(Update::Change(change)))
            }
            Message::Tick(tick) => match self.seen {
                Some(seen) if seen.epoch != tick.revision.epoch => Err(Gap),
                Some(_) => {
                    self.resume_after(tick.revision);
                    Ok(None)
                }
                None => Ok(None),
            },
        }
    }

    fn resume_after(&mut self, revision: Revision) {
        if self.resume.is_none_or(|resume| resume.sequence < revision.sequence) {
            self.resume = Some(revision);
        }
    }
}
