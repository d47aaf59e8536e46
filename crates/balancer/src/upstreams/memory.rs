//! What registries have listed, kept in the state file: when it is read, used and written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use berth_client::RegistryAddress;
use berth_fleet::{Fleet, SourceId};
use tokio::task::{JoinHandle, spawn_blocking};

use super::state_file::{Saved, SavedRegistry, StateFile, boot_id, since_1970};

mod known;
#[cfg(test)]
mod tests;

use known::Known;

/// How long registries have to answer at the start before the file is used.
const PATIENCE: Duration = Duration::from_millis(100);

/// The file is written so often at most, and less often the larger it is: so much longer for each instance.
const WRITE_EVERY: Duration = Duration::from_secs(1);
const WRITE_EVERY_PER_INSTANCE: Duration = Duration::from_millis(1);
const WRITE_EVERY_AT_MOST: Duration = Duration::from_secs(60);

/// As long as a registry answers it is written so often at least: it is worth something only for a day.
const RENEW_EVERY: Duration = Duration::from_secs(600);

/// What becomes of the file.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    // Held by whoever reads or writes, off the runtime.
    file: Arc<Mutex<StateFile>>,
    boot_id: Option<String>,
    /// The file, until it has been read. It is not written before.
    loading: Option<JoinHandle<Option<Saved>>>,
    /// What the file says of each registry, or is to say.
    known: BTreeMap<RegistryAddress, Known>,
    /// When the file is used, unless a registry answers before.
    use_at: Option<Duration>,
    /// When each registry said something last, in seconds since 1970.
    heard_at: BTreeMap<SourceId, u64>,
    /// Whether a registry has said something since the file was written.
    is_unwritten: bool,
    /// When it is written next.
    write_at: Option<Duration>,
    /// It is not written again before.
    rest_until: Duration,
    writing: Option<JoinHandle<()>>,
}

/// Ends when the file has been read; never if it has been.
pub(super) async fn loaded(memory: Option<&mut Memory>) {
    match memory {
        Some(memory) if memory.loading.is_some() => memory.load().await,
        _ => std::future::pending().await,
    }
}

impl Memory {
    /// Begins to read the file.
    pub(super) fn new(path: &Path, now: Duration) -> Self {
        let file = Arc::new(Mutex::new(StateFile::new(path.to_owned())));
        let boot_id = boot_id();
        Self {
            path: path.to_owned(),
            loading: Some(begin_to_load(&file, boot_id.clone())),
            file,
            boot_id,
            known: BTreeMap::new(),
            use_at: Some(now + PATIENCE),
            heard_at: BTreeMap::new(),
            is_unwritten: false,
            write_at: None,
            rest_until: now + WRITE_EVERY,
            writing: None,
        }
    }

    /// Goes over to the file of another plan, which may be the same. `is_heard` tells whether one of its registries has
    /// said something.
    pub(super) fn adopt(&mut self, path: &Path, now: Duration, is_heard: bool) {
        if self.path != path {
            self.path = path.to_owned();
            self.file = Arc::new(Mutex::new(StateFile::new(path.to_owned())));
            // It may know a registry that is new with this plan and cannot be reached.
            self.loading = Some(begin_to_load(&self.file, self.boot_id.clone()));
        }
        if is_heard {
            self.use_at = None;
        }
        self.plan_write(now);
    }

    /// Whether it has not been decided yet whether the file is used.
    pub(super) fn is_undecided(&self) -> bool {
        self.use_at.is_some()
    }

    /// A registry has said something: it is newer, and is to be kept.
    pub(super) fn heard(&mut self, source: SourceId, now: Duration) {
        self.use_at = None;
        self.heard_at.insert(source, since_1970(SystemTime::now()).as_secs());
        self.plan_write(now);
    }

    /// No registry can be reached.
    pub(super) fn all_away(&mut self, now: Duration) {
        self.use_at = self.use_at.map(|_| now);
    }

    /// When there is something to do, unless that waits for the file.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.use_at.into_iter().chain(self.write_at).min().filter(|_| self.loading.is_none())
    }

    /// What the file says, if it is time to use it.
    pub(super) fn take_saved(&mut self, now: Duration) -> Option<Vec<SavedRegistry>> {
        self.use_at.filter(|at| *at <= now && self.loading.is_none())?;
        self.use_at = None;
        Some(self.known.values().map(|known| known.saved.clone()).collect())
    }

    /// Writes the file if it is time for that.
    pub(super) fn write(
        &mut self,
        now: Duration,
        fleet: &Fleet,
        registries: &BTreeMap<SourceId, RegistryAddress>,
    ) {
        if self.loading.is_some() || self.write_at.is_none_or(|at| at > now) {
            return;
        }
        // Of what registries say nobody hears: it does not become newer.
        if !self.is_unwritten && !registries.keys().any(|source| fleet.is_heard(*source)) {
            self.write_at = None;
            return;
        }
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            self.write_at = Some(now + WRITE_EVERY);
            return;
        }
        self.begin_to_write(now, fleet, registries);
    }

    /// Writes what has not been written yet, and waits until that is done.
    pub(super) async fn finish(
        &mut self,
        now: Duration,
        fleet: &Fleet,
        registries: &BTreeMap<SourceId, RegistryAddress>,
    ) {
        if self.loading.is_some() {
            self.load().await;
        }
        self.written().await;
        if self.is_unwritten {
            self.begin_to_write(now, fleet, registries);
            self.written().await;
        }
    }

    async fn load(&mut self) {
        let Some(loading) = &mut self.loading else { return };
        let saved = loading.await.ok().flatten();
        self.loading = None;
        for registry in saved.into_iter().flat_map(|saved| saved.registries) {
            // Another plan's file may say less than what has been heard.
            self.known.entry(registry.address.clone()).or_insert_with(|| registry.into());
        }
    }

    async fn written(&mut self) {
        if let Some(writing) = self.writing.take() {
            // If it failed, it has said so.
            let _ = writing.await;
        }
    }

    fn plan_write(&mut self, now: Duration) {
        self.is_unwritten = true;
        let soon = self.rest_until.max(now);
        self.write_at = Some(self.write_at.map_or(soon, |at| at.min(soon)));
    }

    fn begin_to_write(
        &mut self,
        now: Duration,
        fleet: &Fleet,
        registries: &BTreeMap<SourceId, RegistryAddress>,
    ) {
        self.renew(now, fleet, registries);
        let saved: Vec<SavedRegistry> = self.known.values().map(|known| known.saved.clone()).collect();
        let instances = saved.iter().map(|registry| registry.instances.len()).sum::<usize>();
        let rest = WRITE_EVERY_PER_INSTANCE.saturating_mul(u32::try_from(instances).unwrap_or(u32::MAX));
        self.rest_until = now + rest.clamp(WRITE_EVERY, WRITE_EVERY_AT_MOST);
        let grace = self.known.values().filter_map(|known| known.next_deadline(now)).min();
        self.write_at = Some(grace.unwrap_or(Duration::MAX).clamp(self.rest_until, now + RENEW_EVERY));
        self.is_unwritten = false;
        let Some(saved_at) = saved.iter().filter_map(|registry| registry.heard_at).max() else { return };
        let saved = Saved { saved_at, boot_id: self.boot_id.clone(), registries: saved };
        let file = Arc::clone(&self.file);
        self.writing = Some(spawn_blocking(move || {
            file.lock().unwrap_or_else(PoisonError::into_inner).save(&saved);
        }));
    }

    /// Takes in what registries list by now. One that has not said anything leaves what is known of it.
    fn renew(&mut self, now: Duration, fleet: &Fleet, registries: &BTreeMap<SourceId, RegistryAddress>) {
        let time = since_1970(SystemTime::now()).as_secs();
        self.heard_at.retain(|source, _| registries.contains_key(source));
        let mut known = std::mem::take(&mut self.known);
        for (source, address) in registries {
            let mut registry = known.remove(address);
            if let Some((epoch, instances)) = fleet.list_of(*source) {
                // As long as it can be reached, it says that nothing has changed.
                let known_at = registry.as_ref().and_then(|known| known.saved.heard_at);
                let heard_at = self.heard_at.get(source).copied().max(known_at);
                let heard_at = heard_at.filter(|_| !fleet.is_heard(*source)).or(Some(time));
                let listed =
                    SavedRegistry { address: address.clone(), epoch: Some(epoch), heard_at, instances };
                registry = Some(Known::after(registry, listed, now, fleet));
            } else if let Some(known) = &mut registry {
                known.forget_ended(fleet);
            }
            self.known.extend(registry.map(|registry| (address.clone(), registry)));
        }
    }
}

fn begin_to_load(file: &Arc<Mutex<StateFile>>, boot_id: Option<String>) -> JoinHandle<Option<Saved>> {
    let file = Arc::clone(file);
    spawn_blocking(move || {
        let file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.load(SystemTime::now(), boot_id.as_deref())
    })
}
