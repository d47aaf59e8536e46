//! What may happen, and schedules of it.

use std::collections::BTreeMap;

use berth_model::Patch;
use proptest::prelude::*;

use super::Key;

const IDS: Key = 3;
const RUNS: u64 = 6;
const PORTS: u16 = 3;
const MOST_ACTS: usize = 150;

/// One thing that happens. `pick` chooses among those that wait, in any order.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Put(Put),
    DialEnds { pick: usize, result: DialResult },
    Renew { id: Key, who: Who },
    Patch { id: Key, patch: Patch },
    Deregister { id: Key, who: Who },
    Remove { id: Key },
    OpenLink { names: Vec<(Key, Who)> },
    LoseLink { pick: usize },
    DialBackEnds { pick: usize, answer: Answer },
    Wait { ms: u64 },
    // The registry stood still: the wall clock went on, the running clock hardly.
    Stall { ms: u64 },
    WallClockGoesBack { ms: u64 },
}

#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) id: Key,
    pub(crate) who: Option<Who>,
    pub(crate) port: u16,
    pub(crate) is_dialled: bool,
    pub(crate) ttl_s: f64,
    pub(crate) said: Patch,
    /// Whether its owner says what it heard through its link, rather than what it wants itself.
    pub(crate) repeats: bool,
}

/// Whose run is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    /// The one that lives, so that a call often meets it.
    Live,
    /// One that its process made just now.
    Fresh,
    Number(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum DialResult {
    Accepted,
    Refused,
    SenderGone,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Accepted,
    Refused,
    Unclear,
}

pub(crate) fn schedules() -> impl Strategy<Value = Vec<Act>> {
    let pick = || 0usize..8;
    let names = prop::collection::vec((id(), who()), 1..4);
    let answers = vec![Answer::Accepted, Answer::Refused, Answer::Refused, Answer::Unclear];
    let results =
        vec![DialResult::Accepted, DialResult::Accepted, DialResult::Refused, DialResult::SenderGone];
    let act = prop_oneof![
        8 => put(),
        4 => (pick(), prop::sample::select(results)).prop_map(|(pick, result)| Act::DialEnds { pick, result }),
        2 => (id(), who()).prop_map(|(id, who)| Act::Renew { id, who }),
        3 => (id(), patch()).prop_map(|(id, patch)| Act::Patch { id, patch }),
        1 => (id(), who()).prop_map(|(id, who)| Act::Deregister { id, who }),
        1 => id().prop_map(|id| Act::Remove { id }),
        4 => names.prop_map(|names| Act::OpenLink { names }),
        3 => pick().prop_map(|pick| Act::LoseLink { pick }),
        2 => (pick(), prop::sample::select(answers))
            .prop_map(|(pick, answer)| Act::DialBackEnds { pick, answer }),
        6 => waits().prop_map(|ms| Act::Wait { ms }),
        1 => prop::sample::select(vec![100, 501, 2_000, 3_600_000]).prop_map(|ms| Act::Stall { ms }),
        1 => prop::sample::select(vec![1, 5_000]).prop_map(|ms| Act::WallClockGoesBack { ms }),
    ];
    prop::collection::vec(act, 1..=MOST_ACTS)
}

/// Exact multiples of the TTLs and of a tombstone's life too, so that the very moment of a deadline is met.
fn waits() -> impl Strategy<Value = u64> {
    prop_oneof![
        18 => prop::sample::select(vec![0, 1, 249, 250, 499, 500, 1000, 1500, 1999, 2000, 3500]),
        1 => Just(60_000),
        1 => prop::sample::select(vec![600_000, 601_000]),
    ]
}

fn put() -> impl Strategy<Value = Act> {
    let who = prop::option::weighted(0.8, who());
    let ttl_s = prop::sample::select(vec![2.0, 3.5, 60.0, 60.0]);
    let said = (any::<bool>(), 1u16..3, metas()).prop_map(|(draining, weight, meta)| Patch {
        draining: Some(draining),
        weight: Some(weight),
        meta: Some(meta),
    });
    (id(), who, 1..=PORTS, any::<bool>(), ttl_s, said, any::<bool>()).prop_map(
        |(id, who, port, is_dialled, ttl_s, said, repeats)| {
            Act::Put(Put { id, who, port, is_dialled, ttl_s, said, repeats })
        },
    )
}

fn patch() -> impl Strategy<Value = Patch> {
    prop_oneof![
        any::<bool>().prop_map(|draining| Patch { draining: Some(draining), ..Patch::default() }),
        (1u16..3).prop_map(|weight| Patch { weight: Some(weight), ..Patch::default() }),
        metas().prop_map(|meta| Patch { meta: Some(meta), ..Patch::default() }),
        (any::<bool>(), 1u16..3).prop_map(|(draining, weight)| Patch {
            draining: Some(draining),
            weight: Some(weight),
            ..Patch::default()
        }),
    ]
}

fn metas() -> impl Strategy<Value = BTreeMap<String, String>> {
    any::<bool>().prop_map(|is_red| match is_red {
        true => BTreeMap::from([("colour".to_owned(), "red".to_owned())]),
        false => BTreeMap::new(),
    })
}

fn id() -> impl Strategy<Value = Key> {
    0..IDS
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![4 => Just(Who::Live), 1 => Just(Who::Fresh), 4 => (1..=RUNS).prop_map(Who::Number)]
}
