use berth_model::{Patch, Registration};

/// What others asked of a live run and its owner has not repeated yet.
///
/// Until then it holds against what the owner says: a registration that was under way when an operator said
/// `drain`, or one that a script repeats every few seconds, must not undo it. Once the owner has said the same,
/// it is the owner's own word, which the next one may take back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    // Allocated with the first change: most runs have none.
    patch: Option<Box<Patch>>,
}

impl Asked {
    /// A later change takes the place of an earlier one, member by member.
    pub(crate) fn ask(&mut self, patch: &Patch) {
        self.patch.get_or_insert_default().merge(patch);
    }

    /// The owner spoke: what it repeats is settled, and what it does not say yet is put in its mouth.
    pub(crate) fn hear(&mut self, said: &mut Registration) {
        let Some(patch) = &mut self.patch else { return };
        settle(&mut patch.draining, &mut said.draining);
        settle(&mut patch.weight, &mut said.weight);
        settle(&mut patch.meta, &mut said.meta);
        if **patch == Patch::default() {
            self.patch = None;
        }
    }

    /// What the owner has yet to hear.
    pub(crate) fn pending(&self) -> Option<&Patch> {
        self.patch.as_deref()
    }
}

fn settle<T: Clone + PartialEq>(asked: &mut Option<T>, said: &mut T) {
    match asked {
        Some(wanted) if wanted == said => *asked = None,
        Some(wanted) => said.clone_from(wanted),
        None => {}
    }
}
