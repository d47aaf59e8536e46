//! The configuration file, looked at for changes.
//!
//! Its metadata are compared instead of events waited for: that finds what a new link or a rename brings, on every
//! file system, and costs a call now and then.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Reloads;

/// How often the file is looked at. It is read once it has been the same at two looks: then it is written.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What changes when a file does.
type Look = (u64, u64, u64, i64, i64);

/// Asks for a reload whenever the file has changed, as long as the process lives.
pub(super) async fn follow(file: PathBuf, reloads: Reloads) {
    let mut read = look(&file).await;
    let mut last = read;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = look(&file).await;
        let settled = now == std::mem::replace(&mut last, now);
        // A file that is gone for a moment is being replaced.
        if settled && now != read && now.is_some() {
            read = now;
            // What came of it is in the log.
            let _ = reloads.ask().await;
        }
    }
}

/// What is looked at of a file; of anything else, such as a pipe, nothing.
async fn look(file: &Path) -> Option<Look> {
    let data = tokio::fs::metadata(file).await.ok().filter(Metadata::is_file)?;
    Some((data.dev(), data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
}
