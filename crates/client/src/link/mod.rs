//! The link: one connection to each registry for all runs of this process. The registry sees a crash by its loss,
//! and tells through it what others did to the runs. [`hold`] keeps one open.

mod hold;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use berth_model::{Patch, Reason, RunName};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::call::Caller;
use crate::{Error, RegistryAddress};
use hold::{Command, Holder};

/// The links of this process: registrations that are given the same `Links` share one connection to each
/// registry. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Links {
    open: Arc<Mutex<HashMap<Place, Weak<Link>>>>,
}

/// A registry, and the token that it wants.
type Place = (RegistryAddress, Option<String>);

/// What the owner of a run hears.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Word {
    /// The registry holds our link now.
    Linked,
    /// It does not any more; we try again.
    Unlinked,
    /// Others changed the run: its owner says so from now on.
    Asked(Patch),
    /// The run ended, or the registry does not know it.
    Ended(Option<Reason>),
}

/// One connection, or the attempts to get one. Dropped, it is closed.
#[derive(Debug)]
struct Link {
    commands: mpsc::UnboundedSender<Command>,
    _task: AbortOnDropHandle<()>,
}

/// A run that is named by a link. Dropped, it is not any more.
#[derive(Debug)]
pub(crate) struct Linked {
    link: Arc<Link>,
    run: RunName,
    words: mpsc::UnboundedReceiver<Word>,
}

impl Links {
    /// Names a run by the link to a registry, which knows the run by now.
    pub(crate) fn add(
        &self,
        registry: &RegistryAddress,
        token: Option<&str>,
        run: RunName,
    ) -> Result<Linked, Error> {
        let link = self.link(registry, token)?;
        let (words_in, words) = mpsc::unbounded_channel();
        // The task lives as long as the link.
        let _ = link.commands.send(Command::Add(run.clone(), words_in));
        Ok(Linked { link, run, words })
    }

    fn link(&self, registry: &RegistryAddress, token: Option<&str>) -> Result<Arc<Link>, Error> {
        let place = (registry.clone(), token.map(str::to_owned));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = open.get(&place).and_then(Weak::upgrade) {
            return Ok(link);
        }
        let caller = Caller::new(place.0.clone(), place.1.clone())?;
        let (commands, received) = mpsc::unbounded_channel();
        let task = tokio::spawn(Holder::new(caller, received).run());
        let link = Arc::new(Link { commands, _task: AbortOnDropHandle::new(task) });
        open.insert(place, Arc::downgrade(&link));
        Ok(link)
    }
}

impl Linked {
    /// The registry has forgotten the run meanwhile and knows it again: it must be told whose it is.
    pub(crate) fn renew(&self) {
        let _ = self.link.commands.send(Command::Renew(self.run.clone()));
    }

    /// The next word. It may be dropped while it waits: nothing is lost.
    pub(crate) async fn next(&mut self) -> Word {
        match self.words.recv().await {
            Some(word) => word,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        let _ = self.link.commands.send(Command::Remove(self.run.clone()));
    }
}
