//! Many clients at once: what each of them is told fits one order of all their calls, in which every call takes
//! effect at one moment between its beginning and its answer (Herlihy and Wing, Linearizability, 1990).

mod model;
mod search;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Running, start};
use model::{Call, Outcome, Seen};
use search::{Operation, is_linearizable};

const ROUNDS: usize = 25;
const CLIENTS: u64 = 8;

/// About 50 for each key, with the queries, which count for both ids of a service.
const CALLS_PER_CLIENT: usize = 22;

const SERVICES: [&str; 2] = ["web", "api"];
const IDS: [&str; 2] = ["a", "b"];

/// What happened to each instance, by its place.
type Histories = BTreeMap<String, Vec<Operation>>;

/// One client, and the clock of all: it only orders beginnings and answers.
struct Client {
    registry: Arc<Running>,
    clock: Arc<AtomicU64>,
    rng: Rng,
    heard: Vec<(String, Operation)>,
}

async fn record(seed: u64) -> Histories {
    let registry = Arc::new(start().await);
    let clock = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let rng = Rng::with_seed(seed.wrapping_add(number));
        let client =
            Client { registry: Arc::clone(&registry), clock: Arc::clone(&clock), rng, heard: Vec::new() };
        clients.spawn(client.work());
    }
    let mut histories = Histories::new();
    for (place, operation) in clients.join_all().await.into_iter().flatten() {
        histories.entry(place).or_default().push(operation);
    }
    histories
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_clients_are_told_fits_one_order_of_all_calls() {
    let first = fastrand::u64(..);
    for round in 0..ROUNDS as u64 {
        let seed = first.wrapping_add(round * CLIENTS);
        let histories = record(seed).await;
        assert_eq!(histories.len(), SERVICES.len() * IDS.len());
        for (place, history) in histories {
            assert!(is_linearizable(&history), "seed {seed}, {place}: {history:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_history_with_one_wrong_answer_is_told_from_a_right_one() {
    let seed = fastrand::u64(..);
    for (place, history) in record(seed).await {
        assert!(is_linearizable(&history), "seed {seed}, {place}: {history:#?}");
        let mut corrupted = 0;
        for number in 0..history.len() {
            let mut history = history.clone();
            let operation = &mut history[number];
            let Some(wrong) = corrupt(&operation.outcome) else { continue };
            operation.outcome = wrong;
            corrupted += 1;
            assert!(!is_linearizable(&history), "seed {seed}, {place}, {number}: {history:#?}");
        }
        assert!(corrupted > 0, "seed {seed}, {place}");
    }
}

/// An answer that nothing explains: an instance that nobody registered.
fn corrupt(outcome: &Outcome) -> Option<Outcome> {
    let nowhere = |seen: &Seen| Seen { port: 1, ..*seen };
    match outcome {
        Outcome::Joined(seen) => Some(Outcome::Joined(nowhere(seen))),
        Outcome::Kept(seen) => Some(Outcome::Kept(nowhere(seen))),
        Outcome::Found(Some(seen)) => Some(Outcome::Found(Some(nowhere(seen)))),
        _ => None,
    }
}

impl Client {
    async fn work(mut self) -> Vec<(String, Operation)> {
        for number in 0..CALLS_PER_CLIENT {
            let service = self.rng.choice(SERVICES).unwrap();
            let place = format!("{service}/{}", self.rng.choice(IDS).unwrap());
            let latest = number as u64 / 3 + 2;
            let run = self.rng.u64(latest - 1..=latest);
            let invoked = self.clock.fetch_add(1, Ordering::SeqCst);
            let call = match self.rng.u32(..100) {
                0..35 => self.any_put(run),
                35..50 => Call::Renew { run },
                50..65 => self.any_patch(),
                65..75 => Call::End { run: Some(run) },
                75..80 => Call::End { run: None },
                _ => Call::Get,
            };
            let heard = self.call(service, &place, &call).await;
            let answered = self.clock.fetch_add(1, Ordering::SeqCst);
            for (place, outcome) in heard {
                self.heard.push((place, Operation { call: call.clone(), outcome, invoked, answered }));
            }
        }
        self.heard
    }

    fn any_put(&mut self, run: u64) -> Call {
        Call::Put {
            run: (self.rng.u32(..10) > 0).then_some(run),
            port: self.rng.u16(8000..8002),
            weight: self.rng.u16(1..4),
            draining: self.rng.bool(),
        }
    }

    fn any_patch(&mut self) -> Call {
        if self.rng.bool() {
            Call::Patch { weight: Some(self.rng.u16(1..4)), draining: None }
        } else {
            Call::Patch { weight: None, draining: Some(self.rng.bool()) }
        }
    }

    /// Makes the call, and tells what its answer says of which instances.
    async fn call(&self, service: &str, place: &str, call: &Call) -> Vec<(String, Outcome)> {
        let registry = &self.registry;
        let (status, body) = match call {
            Call::Put { run, port, weight, draining } => {
                let mut body = json!({"port": port, "weight": weight, "draining": draining, "ttl_s": 3600});
                if let Some(run) = run {
                    body["run"] = json!(run.to_string());
                }
                registry.put(place, body).await
            }
            Call::Renew { run } => registry.renew(place, &run.to_string()).await,
            Call::Patch { weight: Some(weight), .. } => {
                registry.patch(place, json!({"weight": weight})).await
            }
            Call::Patch { draining, .. } => registry.patch(place, json!({"draining": draining})).await,
            Call::End { run } => {
                registry.delete(place, &run.map_or(String::new(), |run| format!("?run={run}"))).await
            }
            Call::Get => {
                let (_, found) = registry.get(&format!("/v1/services/{service}")).await;
                return IDS.iter().map(|id| (format!("{service}/{id}"), found_of(&found, id))).collect();
            }
        };
        let outcome = match (call, status) {
            (Call::Put { .. }, StatusCode::CREATED) => Outcome::Joined(seen(&body["instance"])),
            (Call::Put { .. }, StatusCode::OK) => Outcome::Kept(seen(&body["instance"])),
            (Call::Patch { .. }, StatusCode::OK) => Outcome::Kept(seen(&body)),
            (_, StatusCode::OK) => Outcome::Done,
            (_, StatusCode::NOT_FOUND) => Outcome::Unknown,
            (_, StatusCode::CONFLICT) => Outcome::Superseded,
            (_, StatusCode::GONE) => Outcome::Gone(serde_json::from_value(body["reason"].clone()).unwrap()),
            other => panic!("{other:?}: {body}"),
        };
        vec![(place.to_owned(), outcome)]
    }
}

fn found_of(found: &Value, id: &str) -> Outcome {
    let instances = found["instances"].as_array().unwrap();
    Outcome::Found(instances.iter().find(|instance| instance["id"] == id).map(seen))
}

fn seen(instance: &Value) -> Seen {
    let number = |field: &str| u16::try_from(instance[field].as_u64().unwrap()).unwrap();
    Seen {
        run: instance["run"].as_str().unwrap().parse().unwrap(),
        port: number("port"),
        weight: number("weight"),
        draining: instance["draining"].as_bool().unwrap_or(false),
    }
}
