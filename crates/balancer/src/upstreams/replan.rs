//! Going over to another plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::warn;

use super::news::News;
use super::{Adopted, Followed, Replan, SourceId, Upstreams};

/// How long a new plan waits for sources that are new with it, so that no backend seems empty.
const NEW_SOURCES_WAIT: Duration = Duration::from_secs(2);

/// What is left to do until a plan holds for good.
#[derive(Debug, Default)]
pub(super) struct Replanning {
    /// The plan that is waited for, until then.
    next: Option<(Replan, Duration)>,
    /// Registries that the plan does not name any more. What they list holds until those that are new have listed
    /// something: a registry that is silent takes nobody away.
    retiring: BTreeMap<SourceId, Followed>,
    /// Those that are new.
    awaited: BTreeSet<SourceId>,
}

impl Replanning {
    /// Whether another plan may come.
    pub(super) fn is_free(&self) -> bool {
        self.next.is_none()
    }

    pub(super) fn begin(&mut self, replan: Replan, now: Duration) {
        self.next = Some((replan, now + NEW_SOURCES_WAIT));
    }

    /// When it is not waited for any longer.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.next.as_ref().map(|(_, until)| *until)
    }
}

impl Upstreams {
    /// Goes over to the next plan once the sources that are new with it have spoken, or have had the time for it.
    /// Returns whom to tell, and who has said nothing.
    pub(super) fn replan(&mut self) -> Option<(oneshot::Sender<Adopted>, Vec<String>)> {
        let now = self.clock.now();
        let replanning = &mut self.replanning;
        let ((plan, _), until) = replanning.next.as_ref()?;
        let present = &self.backends.plan().sources;
        let is_new = |source: &SourceId| !present.contains_key(source);
        let unlisted = |source: &SourceId| !self.fleet.has_list(*source);
        let is_silent =
            |source: &SourceId| is_new(source) && unlisted(source) && !self.heard.contains(source);
        if plan.sources.keys().any(is_silent) && now < *until {
            return None;
        }
        let ((plan, told), _) = replanning.next.take()?;
        let silent = plan.sources.keys().filter(|source| is_new(source) && unlisted(source));
        let silent: Vec<SourceId> = silent.copied().collect();
        let names = silent.iter().map(|source| plan.name_of(*source)).collect();
        let registries = silent.into_iter().filter(|source| plan.registries.contains_key(source));
        replanning.awaited.retain(|source| plan.sources.contains_key(source));
        replanning.awaited.extend(registries);
        let before = self.backends.plan();
        let dropped = before.registries.keys().filter_map(|source| before.sources.get_key_value(source));
        replanning.retiring.extend(dropped.map(|(source, followed)| (*source, Arc::clone(followed))));
        replanning.retiring.retain(|source, _| !plan.sources.contains_key(source));
        let retiring = || replanning.retiring.keys();
        let wanted = plan.sources.keys().chain(retiring()).copied().collect();
        let registries = plan.registries.keys().chain(retiring()).copied().collect();
        self.fleet.keep(now, &wanted, &registries);
        self.heard.retain(|source| plan.sources.contains_key(source));
        if !replanning.awaited.is_empty() && !replanning.retiring.is_empty() {
            warn!("a registry that is new has not answered: what the one before lists holds until it does");
        }
        self.backends.follow(plan);
        self.move_memory(now);
        let everybody: Vec<_> = self.fleet.identities().cloned().collect();
        let mut news = News::default();
        self.update(now, everybody.iter(), &mut news);
        self.tell(&news);
        Some((told, names))
    }

    /// The memory goes where this plan has its file. What its new registries have said by now is not known there yet.
    fn move_memory(&mut self, now: Duration) {
        let plan = self.backends.plan();
        let Some(path) = plan.state_file() else {
            self.memory = None;
            return;
        };
        let is_heard = plan.registries.keys().any(|source| self.fleet.has_list(*source));
        self.memory.get_or_insert_with(|| super::Memory::new(path, now)).adopt(path, now, is_heard);
    }

    /// Lets go of registries that are not wanted any more, once those that are have listed something.
    pub(super) fn retire(&mut self) {
        let replanning = &mut self.replanning;
        replanning.awaited.retain(|source| !self.fleet.has_list(*source));
        if replanning.retiring.is_empty() || !replanning.awaited.is_empty() {
            return;
        }
        let (now, heirs) = (self.clock.now(), &self.backends.plan().registries);
        for (source, followed) in std::mem::take(&mut replanning.retiring) {
            match Arc::try_unwrap(followed) {
                Ok(_) => self.fleet.retire(now, source, heirs.keys()),
                // The plan that comes next wants it again.
                Err(followed) => {
                    replanning.retiring.insert(source, followed);
                }
            }
        }
    }
}
