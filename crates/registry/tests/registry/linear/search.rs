//! Looks for an order of calls that explains their answers (Wing and Gong, 1993, with Lowe's memory of states that
//! led nowhere, 2017).

use std::collections::HashSet;

use super::model::{Call, Outcome, State};

/// A call with the times of its beginning and of its answer.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) call: Call,
    pub(super) outcome: Outcome,
    pub(super) invoked: u64,
    pub(super) answered: u64,
}

/// Whether there is an order of all operations in which each has the outcome that it had, and none that was
/// answered before another began comes after it.
pub(super) fn is_linearizable(history: &[Operation]) -> bool {
    assert!(history.len() <= 128, "each is one bit");
    let mut known = HashSet::new();
    let mut open = vec![(0_u128, State::default())];
    while let Some((done, state)) = open.pop() {
        let left = || (0..history.len()).filter(|number| done & (1 << number) == 0);
        let Some(first_answer) = left().map(|number| history[number].answered).min() else { return true };
        for number in left().filter(|number| history[*number].invoked < first_answer) {
            let Operation { call, outcome, .. } = &history[number];
            if let Some(next) = state.after(call, outcome) {
                let step = (done | 1 << number, next);
                if known.insert(step.clone()) {
                    open.push(step);
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests;
