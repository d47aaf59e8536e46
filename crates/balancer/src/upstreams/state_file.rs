//! What registries have listed, kept in a file for a start while none of them answers.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_client::RegistryAddress;
use berth_model::Instance;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracing::{info, warn};

#[cfg(test)]
mod tests;

/// The version that is written, and the only one that is read.
const VERSION: u64 = 1;

/// The largest file that is written or read: room for 100,000 instances and more.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// What is older says nothing about now.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What another process was still writing then is not written any more: it was killed.
const LONGEST_WRITE: Duration = Duration::from_secs(60);

/// So many files beside it are looked at for that.
const MOST_LOOKED_AT: usize = 1000;

/// A clock that was set back by more than this makes a file worthless: nobody knows how old it is.
const MOST_AHEAD: Duration = Duration::from_secs(5 * 60);

/// What was known at some time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// When a registry was heard last, in seconds since 1970.
    pub(crate) saved_at: u64,
    /// Which start of the machine this was; an address of its loopback means something else after the next.
    #[serde(default)]
    pub(crate) boot_id: Option<String>,
    /// Each registry with what it listed.
    pub(crate) registries: Vec<SavedRegistry>,
}

/// What one registry listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedRegistry {
    /// Which one.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub(crate) address: RegistryAddress,
    /// The epoch of its store, if it had told any.
    #[serde(default)]
    pub(crate) epoch: Option<u64>,
    /// When it was heard last, in seconds since 1970, if that is not when the last of all was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) heard_at: Option<u64>,
    /// Its list.
    pub(crate) instances: Vec<Arc<Instance>>,
}

fn as_text<S: Serializer>(address: &RegistryAddress, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RegistryAddress, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[derive(Serialize)]
struct Written<'s> {
    version: u64,
    #[serde(flatten)]
    saved: &'s Saved,
}

/// Read first: another version may have anything beside it.
#[derive(Deserialize)]
struct OfVersion {
    version: u64,
}

/// Why a file is not used.
enum Unused {
    /// There is none.
    Absent,
    /// Somebody else may have written it.
    Distrusted(String),
    /// It cannot be understood.
    Damaged(String),
    /// It says nothing about now.
    Outdated(&'static str),
}

/// The file. Its methods wait for the disk.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    is_failure_told: bool,
}

impl StateFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, is_failure_told: false }
    }

    /// What was saved, if it is ours, whole, and not too old. Loopback addresses are only in it if the machine has not
    /// been started anew meanwhile. A file that is damaged is set aside.
    pub(crate) fn load(&self, now: SystemTime, boot_id: Option<&str>) -> Option<Saved> {
        let file = self.path.display();
        let why = match self.read(now) {
            Ok(saved) => return Some(saved.on_this_machine(boot_id).without_outdated(since_1970(now))),
            Err(why) => why,
        };
        match why {
            Unused::Absent => {}
            Unused::Distrusted(why) => warn!(%file, why, "the state file is not read"),
            Unused::Outdated(why) => info!(%file, why, "the state file is not used"),
            Unused::Damaged(why) => {
                let name = self.beside("damaged");
                let aside = name.display();
                match fs::rename(&self.path, &name) {
                    Ok(()) => warn!(%file, why, %aside, "a damaged state file is set aside"),
                    Err(error) => warn!(%file, why, %error, "a damaged state file cannot be set aside"),
                }
            }
        }
        None
    }

    /// Writes it, whole or not at all. The first failure is told to the log, those behind it are not: the balancer
    /// goes on without, and the next change may go through.
    pub(crate) fn save(&mut self, saved: &Saved) {
        if let Err(error) = self.write(saved)
            && !std::mem::replace(&mut self.is_failure_told, true)
        {
            let file = self.path.display();
            warn!(%file, %error, "the state file cannot be written: a start without a registry would find nobody");
        }
    }

    fn read(&self, now: SystemTime) -> Result<Saved, Unused> {
        let bytes = self.bytes()?;
        let damaged = |error: serde_json::Error| Unused::Damaged(error.to_string());
        let OfVersion { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if version != VERSION {
            return Err(Unused::Damaged(format!("it is of version {version}, not {VERSION}")));
        }
        let saved: Saved = serde_json::from_slice(&bytes).map_err(damaged)?;
        let now = since_1970(now);
        let then = Duration::from_secs(saved.saved_at);
        if then.saturating_sub(now) > MOST_AHEAD {
            return Err(Unused::Outdated("it is from the future: the clock was set back"));
        }
        if now.saturating_sub(then) > LONGEST {
            return Err(Unused::Outdated("it is older than a day"));
        }
        Ok(saved)
    }

    fn bytes(&self) -> Result<Vec<u8>, Unused> {
        // Not through a link to somebody's file, and no pipe is waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&self.path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Err(Unused::Absent),
            Err(Errno::LOOP) => return Err(Unused::Distrusted("it is a symbolic link".to_owned())),
            Err(error) => return Err(Unused::Distrusted(error.to_string())),
        };
        let unreadable = |error: io::Error| Unused::Distrusted(error.to_string());
        let data = file.metadata().map_err(unreadable)?;
        let distrusted = |why: &str| Err(Unused::Distrusted(why.to_owned()));
        if !data.is_file() {
            return distrusted("it is no regular file");
        }
        if data.uid() != rustix::process::geteuid().as_raw() {
            return distrusted("it belongs to another user");
        }
        if data.mode() & 0o022 != 0 {
            return distrusted("other users may write to it");
        }
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Unused::Damaged("it is larger than 64 MiB".to_owned()));
        }
        Ok(bytes)
    }

    fn write(&self, saved: &Saved) -> io::Result<()> {
        let bytes = serde_json::to_vec(&Written { version: VERSION, saved })?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(io::Error::other("it would be larger than 64 MiB"));
        }
        // A device, or a link that somebody relies on, is not replaced.
        if fs::symlink_metadata(&self.path).is_ok_and(|data| !data.is_file()) {
            return Err(io::Error::other("there is something else than a regular file"));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(self.folder())?;
        self.remove_leftovers();
        // Named by the process: another one that has the same file does not write into this one.
        let new = self.beside(&format!("{}.new", std::process::id()));
        let written = write_new(&new, &bytes).and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() {
            // There may be none.
            let _ = fs::remove_file(&new);
        } else if let Ok(folder) = File::open(self.folder()) {
            // The new name is to outlast a loss of power; not every file system can do that for a folder.
            let _ = folder.sync_all();
        }
        written
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Removes what processes were writing when they were killed.
    fn remove_leftovers(&self) {
        let (Some(name), Ok(files)) = (self.path.file_name(), fs::read_dir(self.folder())) else { return };
        let is_unfinished = |found: &OsStr| {
            let process = found.as_bytes().strip_prefix(name.as_bytes()).and_then(|it| it.strip_prefix(b"."));
            let process = process.and_then(|it| it.strip_suffix(b".new")).unwrap_or_default();
            !process.is_empty() && process.iter().all(u8::is_ascii_digit)
        };
        let is_old = |file: &fs::DirEntry| {
            let written = file.metadata().and_then(|data| data.modified());
            written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LONGEST_WRITE))
        };
        let files = files.take(MOST_LOOKED_AT).filter_map(Result::ok);
        for file in files.filter(|file| is_unfinished(&file.file_name()) && is_old(file)) {
            // In a folder that is shared it may be somebody else's.
            let _ = fs::remove_file(file.path());
        }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".");
        path.push(ending);
        path.into()
    }
}

impl Saved {
    fn on_this_machine(mut self, boot_id: Option<&str>) -> Self {
        if boot_id.is_none() || self.boot_id.as_deref() != boot_id {
            for registry in &mut self.registries {
                registry.instances.retain(|instance| !instance.host.to_canonical().is_loopback());
            }
        }
        self
    }

    /// Without the lists of registries that have not been heard for too long. Each has its own time now.
    fn without_outdated(mut self, now: Duration) -> Self {
        for registry in &mut self.registries {
            registry.heard_at.get_or_insert(self.saved_at);
        }
        let is_recent = |then: u64| now.saturating_sub(Duration::from_secs(then)) <= LONGEST;
        self.registries.retain(|registry| registry.heard_at.is_some_and(is_recent));
        self
    }
}

/// The time as the file has it.
pub(crate) fn since_1970(now: SystemTime) -> Duration {
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Which start of the machine this is, if it tells.
pub(crate) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Writes a file that was not there, for nobody else to read, down to the disk.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // With O_EXCL, which follows no link either.
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Of a process of the same number that was killed meanwhile.
            fs::remove_file(path)?;
            open()?
        }
        opened => opened?,
    };
    file.write_all(bytes)?;
    file.sync_all()
}
