//! What registries have listed, kept in the state file: when it is written, and when it is read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_client::RegistryAddress;
use berth_fleet::{Fleet, SourceId};
use tokio::task::{JoinHandle, spawn_blocking};

use super::state_file::{Saved, SavedRegistry, StateFile, boot_id};

/// How long registries have to answer at the start before the file is read.
const PATIENCE: Duration = Duration::from_millis(100);

/// The file is written so often at most, and as long as a registry answers so often at least: it is worth something only
/// for a day.
const WRITE_EVERY: Duration = Duration::from_secs(1);
const RENEW_EVERY: Duration = Duration::from_secs(600);

/// What becomes of the file.
#[derive(Debug)]
pub(super) struct Memory {
    // Held by whoever reads or writes, off the runtime.
    file: Arc<Mutex<StateFile>>,
    boot_id: Option<String>,
    /// When the file is read, unless a registry answers before.
    read_at: Option<Duration>,
    /// When it is written next.
    write_at: Option<Duration>,
    written_at: Duration,
    writing: Option<JoinHandle<()>>,
}

impl Memory {
    pub(super) fn new(path: &Path, now: Duration) -> Self {
        Self {
            file: Arc::new(Mutex::new(StateFile::new(path.to_owned()))),
            boot_id: boot_id(),
            read_at: Some(now + PATIENCE),
            write_at: None,
            written_at: now,
            writing: None,
        }
    }

    /// Whether it has not been decided yet whether the file is read.
    pub(super) fn is_undecided(&self) -> bool {
        self.read_at.is_some()
    }

    /// A registry has answered: what it says is newer. What it says is to be kept.
    pub(super) fn heard(&mut self, now: Duration) {
        self.read_at = None;
        self.write_at = Some(self.write_at.unwrap_or(now).min((self.written_at + WRITE_EVERY).max(now)));
    }

    /// No registry can be reached.
    pub(super) fn all_away(&mut self, now: Duration) {
        self.read_at = self.read_at.map(|_| now);
    }

    /// When there is something to do.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.read_at.into_iter().chain(self.write_at).min()
    }

    /// What the file says, if it is time to read it.
    pub(super) async fn read(&mut self, now: Duration) -> Option<Vec<SavedRegistry>> {
        self.read_at.filter(|at| *at <= now)?;
        self.read_at = None;
        let (file, boot_id) = (Arc::clone(&self.file), self.boot_id.clone());
        let load = move || {
            let file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.load(SystemTime::now(), boot_id.as_deref())
        };
        Some(spawn_blocking(load).await.ok()??.registries)
    }

    /// Writes the file if it is time for that.
    pub(super) fn write(
        &mut self,
        now: Duration,
        fleet: &Fleet,
        registries: &BTreeMap<SourceId, RegistryAddress>,
    ) {
        if self.write_at.is_none_or(|at| at > now) {
            return;
        }
        // Of what registries say nobody hears: it does not become newer.
        if fleet.are_registries_away() {
            self.write_at = None;
            return;
        }
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            self.write_at = Some(now + WRITE_EVERY);
            return;
        }
        // A registry that has not been heard since the start has nothing new to say; what was remembered of it stays.
        let lists = registries.iter().filter_map(|(source, address)| {
            let (epoch, listed) = fleet.list_of(*source)?;
            let instances = listed.iter().map(|instance| (**instance).clone()).collect();
            Some(SavedRegistry { address: address.clone(), epoch, instances })
        });
        let saved = Saved {
            saved_at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            boot_id: self.boot_id.clone(),
            registries: lists.collect(),
        };
        (self.written_at, self.write_at) = (now, Some(now + RENEW_EVERY));
        let file = Arc::clone(&self.file);
        self.writing = Some(spawn_blocking(move || {
            file.lock().unwrap_or_else(PoisonError::into_inner).save(&saved);
        }));
    }
}
