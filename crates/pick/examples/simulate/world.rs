//! A world of endpoints and balancers, run by events on a clock of its own: the same seed, the same run.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use berth_model::{Identity, Run, Scheme};
use berth_pick::{Ask, Chance, Chooser, Eligible, Endpoint, InFlight, Roster, Set, Strategy, hash};

/// An endpoint as it really is.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// How long it works on a request, in the mean; times are spread exponentially.
    pub(crate) service: Duration,
    /// How many requests it works on at once; others wait there.
    pub(crate) workers: usize,
    /// Its share, as it is registered.
    pub(crate) weight: u16,
    /// From when on it is listed.
    pub(crate) joins: Duration,
    /// From when on it fails each request, after a millisecond.
    pub(crate) fails: Option<Duration>,
}

impl Node {
    /// Four workers of ten milliseconds.
    pub(crate) fn usual() -> Self {
        let service = Duration::from_millis(10);
        Self { service, workers: 4, weight: 1, joins: Duration::ZERO, fails: None }
    }
}

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The endpoints.
    pub(crate) nodes: Vec<Node>,
    /// How many balancers choose, each with its own view of the load.
    pub(crate) balancers: usize,
    /// How.
    pub(crate) strategy: Strategy,
    /// How long those who join have to reach their full share.
    pub(crate) ramp: Duration,
    /// Requests per second, over all balancers, at random times.
    pub(crate) rate: f64,
    /// How long.
    pub(crate) length: Duration,
    /// What chance begins with.
    pub(crate) seed: u64,
}

/// One request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    /// When it was chosen for.
    pub(crate) at: Duration,
    /// How long it took.
    pub(crate) took: Duration,
    /// By whom.
    pub(crate) node: usize,
    /// Whether it failed.
    pub(crate) failed: bool,
}

/// A request that waits or is worked on.
struct Request {
    begun_us: u64,
    endpoint: InFlight<Arc<Endpoint>>,
}

enum Event {
    Arrives,
    Joins,
    Ends { node: usize, request: Request, failed: bool },
}

/// In the order of their times, and of their making.
struct Timed(u64, u64, Event);

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

#[derive(Default)]
struct Work {
    busy: usize,
    waiting: VecDeque<Request>,
}

struct Balancer {
    chooser: Chooser,
    roster: Roster,
    set: Set,
}

struct World<'p> {
    plan: &'p Plan,
    chance: Chance,
    events: BinaryHeap<Reverse<Timed>>,
    made: u64,
    balancers: Vec<Balancer>,
    work: Vec<Work>,
    served: Vec<Served>,
}

fn identity(node: usize) -> Identity {
    Identity {
        service: "web".parse().expect("a name"),
        id: format!("node-{node}").parse().expect("an id"),
        run: Run::new(1, 1),
        scheme: Scheme::Http,
        host: "127.0.0.1".parse().expect("an address"),
        port: u16::try_from(1 + node).expect("fewer nodes"),
    }
}

/// Which node an endpoint is.
pub(crate) fn node_of(endpoint: &Endpoint) -> usize {
    usize::from(endpoint.address().port()) - 1
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("a short time")
}

/// Runs the plan; the requests that have ended, in the order of their ends.
pub(crate) fn run(plan: &Plan) -> Vec<Served> {
    let mut chance = Chance::new(plan.seed);
    let balancer = |chance: &mut Chance| Balancer {
        chooser: Chooser::new(plan.strategy, plan.ramp, chance.number()),
        roster: Roster::default(),
        set: Set::default(),
    };
    let mut world = World {
        plan,
        balancers: (0..plan.balancers).map(|_| balancer(&mut chance)).collect(),
        chance,
        events: BinaryHeap::new(),
        made: 0,
        work: plan.nodes.iter().map(|_| Work::default()).collect(),
        served: Vec::new(),
    };
    world.list(0);
    for node in plan.nodes.iter().filter(|node| !node.joins.is_zero()) {
        world.at(micros(node.joins), Event::Joins);
    }
    world.at(0, Event::Arrives);
    while let Some(Reverse(Timed(now_us, _, event))) = world.events.pop() {
        match event {
            Event::Arrives if now_us < micros(plan.length) => {
                world.arrive(now_us);
                let pause = -(1.0 - f64::from(world.chance.fraction())).ln() / plan.rate * 1e6;
                world.at(now_us + pause as u64, Event::Arrives);
            }
            Event::Arrives => {}
            Event::Joins => world.list(now_us),
            Event::Ends { node, request, failed } => world.end(now_us, node, &request, failed),
        }
    }
    world.served
}

impl World<'_> {
    fn at(&mut self, time_us: u64, event: Event) {
        self.made += 1;
        self.events.push(Reverse(Timed(time_us, self.made, event)));
    }

    /// All balancers see who is there.
    fn list(&mut self, now_us: u64) {
        for balancer in &mut self.balancers {
            let there = self.plan.nodes.iter().enumerate().filter(|(_, node)| micros(node.joins) <= now_us);
            let eligible: Vec<Eligible> = there
                .map(|(index, node)| Eligible {
                    endpoint: balancer.roster.endpoint(
                        &identity(index),
                        None,
                        (!node.joins.is_zero()).then(|| micros(node.joins) / 1000),
                    ),
                    weight: node.weight,
                })
                .collect();
            balancer.set = balancer.chooser.arrange(&balancer.set, &eligible);
        }
    }

    fn arrive(&mut self, now_us: u64) {
        let place = self.chance.below(self.balancers.len());
        let key = hash(0, &self.chance.number().to_le_bytes());
        let balancer = &self.balancers[place];
        let mut ask = Ask { now_ms: now_us / 1000, chance: &mut self.chance, key, tried: &[] };
        let index = balancer.chooser.choose(&balancer.set, &mut ask).expect("somebody is there");
        let endpoint = Arc::clone(&balancer.set.endpoints()[index]);
        let node = node_of(&endpoint);
        let request = Request { begun_us: now_us, endpoint: InFlight::begin(endpoint) };
        if self.plan.nodes[node].fails.is_some_and(|from| micros(from) <= now_us) {
            self.at(now_us + 1000, Event::Ends { node, request, failed: true });
        } else if self.work[node].busy < self.plan.nodes[node].workers {
            self.work_on(now_us, node, request);
        } else {
            self.work[node].waiting.push_back(request);
        }
    }

    fn work_on(&mut self, now_us: u64, node: usize, request: Request) {
        self.work[node].busy += 1;
        let mean = self.plan.nodes[node].service.as_secs_f64() * 1e6;
        let took = -(1.0 - f64::from(self.chance.fraction())).ln() * mean;
        self.at(now_us + took as u64, Event::Ends { node, request, failed: false });
    }

    fn end(&mut self, now_us: u64, node: usize, request: &Request, failed: bool) {
        let took_us = now_us - request.begun_us;
        self.served.push(Served {
            at: Duration::from_micros(request.begun_us),
            took: Duration::from_micros(took_us),
            node,
            failed,
        });
        let (endpoint, now_ms) = (&request.endpoint, now_us / 1000);
        if failed {
            endpoint.trouble().failed(now_ms);
            return;
        }
        endpoint.trouble().answered(now_ms);
        endpoint.latency().note(now_ms, u32::try_from(took_us).unwrap_or(u32::MAX));
        let work = &mut self.work[node];
        // Also what waits is load.
        let load = (work.busy + work.waiting.len()) as f32 / (2 * self.plan.nodes[node].workers) as f32;
        endpoint.report().note(now_ms, load);
        work.busy -= 1;
        if let Some(next) = work.waiting.pop_front() {
            self.work_on(now_us, node, next);
        }
    }
}
