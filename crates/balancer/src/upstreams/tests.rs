mod departed;
mod totals;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_client::Update;
use berth_daemon::RunningClock;
use berth_model::{Change, ChangeKind, Instance, Reason, Revision, Run, Scheme, Snapshot as Listed, Ttl};
use berth_pick::{Endpoint, InFlight};
use berth_testkit::PATIENCE;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Followed, Hears, Plan, Published, REST, Replan, Said, Upstreams};
use crate::config::default_routing;
use crate::proxy::{ProxySettings, Timeouts};
use crate::routing::{
    Action, Backend, Capacity, Choosing, Health, Instances, Policy, Route, Routing, Server, Target,
};
use crate::tls::UpstreamTls;

const REVISION: Revision = Revision { epoch: 1, sequence: 1 };

fn instance(port: u16) -> Instance {
    Instance {
        service: "web".parse().unwrap(),
        id: port.to_string().parse().unwrap(),
        run: Run::new(1, 1),
        version: None,
        host: "127.0.0.1".parse().unwrap(),
        port,
        scheme: Scheme::Http,
        weight: 1,
        zone: None,
        routes: Vec::new(),
        meta: berth_model::Meta::default(),
        ttl_s: Ttl::DEFAULT,
        draining: false,
    }
}

fn all(instances: &[Instance]) -> Update {
    Update::Snapshot(Listed { revision: REVISION, instances: instances.to_vec(), ended: Vec::new() })
}

fn change(kind: ChangeKind, instance: Instance, reason: Option<Reason>) -> Update {
    Update::Change(Change { revision: REVISION, kind, instance, reason })
}

/// The task with one source, and what it publishes.
struct Task {
    published: Arc<Published>,
    said: mpsc::Sender<Said>,
    heard: watch::Receiver<bool>,
    plans: mpsc::Sender<Replan>,
}

/// What holds a source that nobody has to follow.
fn followed() -> Followed {
    Arc::new(AbortOnDropHandle::new(tokio::spawn(async {})))
}

/// A plan with this routing and these sources.
fn plan(routing: Routing, sources: &[u64]) -> Plan {
    let long = Duration::from_secs(60);
    let timeouts = Timeouts {
        connect: long,
        head: long,
        answer: long,
        body: long,
        send: long,
        idle: long,
        tunnel: long,
        upstream_idle: long,
    };
    let general = ProxySettings {
        limits: berth_http1::Limits { head_bytes: 1024, target_bytes: 1024, fields: 16 },
        timeouts,
        most_body_bytes: None,
        most_pending: u32::MAX,
        trusted_proxies: Vec::new(),
        tls: UpstreamTls::default(),
        via: true,
        per_client: None,
    };
    Plan {
        routing: Arc::new(routing),
        general: Arc::new(general),
        servers: BTreeMap::new(),
        registries: sources
            .iter()
            .map(|source| (*source, berth_client::RegistryAddress::default()))
            .collect(),
        sources: sources.iter().map(|source| (*source, followed())).collect(),
        state: None,
    }
}

impl Task {
    fn start() -> Self {
        let registry = [berth_client::RegistryAddress::default()];
        Self::with(default_routing(None, &[], &registry))
    }

    fn with(routing: Routing) -> Self {
        let plan = plan(routing, &[1]);
        let (said, waiting) = mpsc::channel(8);
        let (heard, is_heard) = watch::channel(false);
        let (plans, replans) = mpsc::channel(1);
        let clock = RunningClock::start();
        let (task, published) = Upstreams::new(plan, clock.clone(), 0);
        tokio::spawn(async move { clock.drive(|_, _| {}).await });
        let (_asks, asked) = mpsc::channel(1);
        let hears = Hears { said: waiting, plans: replans, asked, ending: CancellationToken::new() };
        tokio::spawn(task.run(hears, heard));
        Self { published, said, heard: is_heard, plans }
    }

    /// Says something and waits until it has been taken in.
    async fn say(&mut self, update: Update) {
        self.heard.mark_unchanged();
        self.said.send((1, update)).await.unwrap();
        self.heard.changed().await.unwrap();
    }

    fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        let mut endpoints = self.published.current().backends[0].set.endpoints().to_vec();
        endpoints.sort_by_key(|endpoint| endpoint.address());
        endpoints
    }

    fn ports(&self) -> Vec<u16> {
        self.endpoints().iter().map(|endpoint| endpoint.address().port()).collect()
    }
}

#[tokio::test]
async fn whoever_drains_gets_no_new_requests() {
    let mut task = Task::start();
    let draining = Instance { draining: true, ..instance(2) };
    task.say(all(&[instance(1), draining.clone()])).await;
    assert_eq!(task.ports(), [1]);
    task.say(change(ChangeKind::Changed, instance(2), None)).await;
    assert_eq!(task.ports(), [1, 2]);
    task.say(change(ChangeKind::Changed, draining, None)).await;
    assert_eq!(task.ports(), [1]);
}

#[tokio::test]
async fn an_endpoint_outlives_every_change_around_it() {
    let mut task = Task::start();
    task.say(all(&[instance(1)])).await;
    let key = task.endpoints()[0].key();
    let under_way = InFlight::begin(Arc::clone(&task.endpoints()[0]));
    task.say(all(&[instance(1), instance(2)])).await;
    task.say(change(ChangeKind::Changed, Instance { draining: true, ..instance(1) }, None)).await;
    assert_eq!(task.ports(), [2]);
    task.say(change(ChangeKind::Changed, Instance { weight: 5, ..instance(1) }, None)).await;
    let endpoints = task.endpoints();
    assert_eq!((endpoints[0].key(), endpoints[0].in_flight()), (key, 1));
    // With a request under way it is known even when it has left and comes back.
    task.say(change(ChangeKind::Left, instance(1), Some(Reason::Deregistered))).await;
    assert_eq!(task.ports(), [2]);
    task.say(change(ChangeKind::Joined, instance(1), None)).await;
    assert_eq!(task.endpoints()[0].key(), key);
    drop(under_way);
    task.say(change(ChangeKind::Left, instance(1), Some(Reason::Deregistered))).await;
    task.say(change(ChangeKind::Joined, instance(1), None)).await;
    assert_ne!(task.endpoints()[0].key(), key);
}

#[tokio::test]
async fn each_list_has_a_generation_of_its_own() {
    let mut task = Task::start();
    assert_eq!(task.published.generation(), 0);
    task.say(all(&[instance(1)])).await;
    let first = task.published.generation();
    assert!(first > 0 && task.published.current().generation == first);
    task.say(Update::Away { why: "refused".into() }).await;
    assert_eq!((task.published.generation(), task.ports()), (first, vec![1]));
    // Nobody listens there, which is looked at before it is believed.
    task.say(all(&[])).await;
    eventually(|| task.ports().is_empty()).await;
    assert!(task.published.generation() > first);
}

#[tokio::test]
async fn a_departure_is_told_from_other_changes() {
    let mut task = Task::start();
    let departures = |task: &Task| task.published.current().departures;
    task.say(all(&[instance(1), instance(2)])).await;
    task.say(change(ChangeKind::Changed, Instance { weight: 5, ..instance(1) }, None)).await;
    task.say(change(ChangeKind::Joined, instance(3), None)).await;
    assert_eq!((departures(&task), task.ports()), (0, vec![1, 2, 3]));
    task.say(change(ChangeKind::Left, instance(2), Some(Reason::Deregistered))).await;
    assert_eq!((departures(&task), task.ports()), (1, vec![1, 3]));
    task.say(change(ChangeKind::Changed, Instance { draining: true, ..instance(1) }, None)).await;
    assert_eq!((departures(&task), task.ports()), (2, vec![3]));
    // The backend of an advertised route goes with its last endpoint.
    task.say(change(ChangeKind::Joined, of("api", 4, "1.0.0", &["/api"]), None)).await;
    assert_eq!(departures(&task), 2);
    task.say(change(ChangeKind::Left, of("api", 4, "1.0.0", &["/api"]), Some(Reason::Deregistered))).await;
    assert_eq!(departures(&task), 3);
}

/// However often something changes. That there are as many lists as there may be is not asked: who knows how busy this
/// machine is.
#[tokio::test]
async fn no_two_lists_come_within_the_rest() {
    let mut task = Task::start();
    task.say(all(&[instance(1)])).await;
    let (before, begun) = (task.published.generation(), Instant::now());
    for weight in 2..500 {
        let changed = change(ChangeKind::Changed, Instance { weight, ..instance(1) }, None);
        task.said.send((1, changed)).await.unwrap();
        tokio::task::yield_now().await;
    }
    eventually(|| task.published.current().backends[0].set.weight(0) == 499).await;
    let (lists, rests) =
        (task.published.generation() - before, begun.elapsed().as_millis() / REST.as_millis());
    assert!(u128::from(lists) <= rests + 2, "{lists} lists in {rests} rests");
}

/// A route for everything below a path, with a backend of these instances.
fn route(path: &str, backend: usize) -> Route {
    let rule = berth_route::Rule { path: path.parse().unwrap(), ..berth_route::Rule::any() };
    Route { rule, action: Action::Forward(Target::Backend(backend)), policy: Policy::default() }
}

fn backend(query: &str) -> Backend {
    Backend {
        name: query.into(),
        subject: query.into(),
        choosing: Choosing::default(),
        capacity: Capacity::default(),
        health: Health::default(),
        shares_with: None,
        servers: Vec::<Server>::new(),
        instances: Instances::Query(query.parse().unwrap()),
    }
}

fn of(service: &str, port: u16, version: &str, routes: &[&str]) -> Instance {
    Instance {
        service: service.parse().unwrap(),
        version: Some(version.parse().unwrap()),
        routes: routes.iter().map(ToString::to_string).collect(),
        ..instance(port)
    }
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "in vain");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The ports of each backend.
fn ports(published: &Published) -> Vec<Vec<u16>> {
    let of_backend = |backend: &Arc<super::published::LiveBackend>| {
        let mut ports: Vec<u16> =
            backend.set.endpoints().iter().map(|endpoint| endpoint.address().port()).collect();
        ports.sort_unstable();
        ports
    };
    published.current().backends.iter().map(of_backend).collect()
}

#[tokio::test]
async fn each_backend_has_what_it_asks_for() {
    let routes = vec![route("/a/*", 0), route("/b/*", 1)];
    let backends = vec![backend("web@1.x"), backend("web@2.x")];
    let mut task = Task::with(Routing { routes, backends, advertised_routes: false });
    let all_three =
        [of("web", 1, "1.0.0", &[]), of("web", 2, "2.0.0", &["/x"]), of("api", 3, "1.0.0", &["/y"])];
    task.say(all(&all_three)).await;
    assert_eq!(ports(&task.published), [vec![1], vec![2]]);
    // A version that nobody asks for leaves its backend.
    task.say(change(ChangeKind::Changed, of("web", 2, "3.0.0", &[]), None)).await;
    assert_eq!(ports(&task.published), [vec![1], vec![]]);
}

#[tokio::test]
async fn advertised_routes_are_backends_of_their_own() {
    let mut task = Task::start();
    let instances = [
        of("web", 1, "1.0.0", &[]),
        of("api", 2, "1.0.0", &["/api", "api.example.com/"]),
        of("other", 3, "1.0.0", &["/api/", "/api/*"]),
        of("_own", 4, "1.0.0", &["/api"]),
        of("bad", 5, "1.0.0", &["/a*b"]),
    ];
    task.say(all(&instances)).await;
    let snapshot = task.published.current();
    assert_eq!(ports(&task.published), [vec![1], vec![2, 3], vec![2]]);
    // A change of nobody's routes lays out no routes anew.
    task.say(change(ChangeKind::Joined, of("api", 6, "1.0.0", &["/api"]), None)).await;
    assert_eq!(ports(&task.published), [vec![1], vec![2, 3, 6], vec![2]]);
    assert!(Arc::ptr_eq(&snapshot.routes, &task.published.current().routes));
    task.say(change(ChangeKind::Left, of("api", 2, "1.0.0", &[]), Some(Reason::Deregistered))).await;
    assert_eq!(ports(&task.published), [vec![1], vec![3, 6]]);
}

#[tokio::test]
async fn a_new_plan_keeps_the_turn_and_waits_for_its_sources() {
    let mut task = Task::with(Routing {
        routes: vec![route("/*", 0)],
        backends: vec![backend("web")],
        advertised_routes: false,
    });
    task.say(all(&[of("web", 1, "1.0.0", &[])])).await;
    let before = task.published.current();
    let next = Routing {
        routes: vec![route("/new/*", 0), route("/*", 1)],
        backends: vec![backend("api"), backend("web")],
        advertised_routes: false,
    };
    let (told, tells) = tokio::sync::oneshot::channel();
    task.plans.send((plan(next, &[1, 2]), told)).await.unwrap();
    // The second source has not spoken: nothing changes until it has.
    task.say(Update::Away { why: "refused".into() }).await;
    assert_eq!(ports(&task.published), [vec![1]]);
    task.said.send((2, all(&[of("api", 2, "1.0.0", &[])]))).await.unwrap();
    assert_eq!(tells.await.unwrap().generation, task.published.generation());
    assert_eq!(ports(&task.published), [vec![2], vec![1]]);
    let after = task.published.current();
    assert!(Arc::ptr_eq(&before.backends[0], &after.backends[1]), "an unchanged backend is the same");
}

/// Goes over to another plan.
async fn replan(task: &Task, routing: Routing, sources: &[u64]) -> Vec<String> {
    let (told, tells) = tokio::sync::oneshot::channel();
    task.plans.send((plan(routing, sources), told)).await.unwrap();
    tells.await.unwrap().silent
}

#[tokio::test]
async fn a_new_registry_that_is_silent_takes_nobody_away() {
    let routing =
        || Routing { routes: vec![route("/*", 0)], backends: vec![backend("web")], advertised_routes: false };
    let mut task = Task::with(routing());
    task.say(all(&[of("web", 1, "1.0.0", &[])])).await;
    task.said.send((2, Update::Away { why: "refused".into() })).await.unwrap();
    assert_eq!(replan(&task, routing(), &[2]).await, ["the registry localhost:9090"]);
    assert_eq!(ports(&task.published), [vec![1]]);
    // The one before is still listened to.
    let before = task.published.generation();
    task.said.send((1, change(ChangeKind::Joined, of("web", 2, "1.0.0", &[]), None))).await.unwrap();
    eventually(|| task.published.generation() > before).await;
    assert_eq!(ports(&task.published), [vec![1, 2]]);
    // Another one that is silent, and the first again: it never was away.
    task.said.send((3, Update::Away { why: "refused".into() })).await.unwrap();
    replan(&task, routing(), &[3]).await;
    assert!(replan(&task, routing(), &[1]).await.is_empty());
    task.say(change(ChangeKind::Left, of("web", 1, "1.0.0", &[]), Some(Reason::Deregistered))).await;
    assert_eq!(ports(&task.published), [vec![2]]);
    // The same registry, asked for other services: what it does not list any more is gone at its first word.
    task.said.send((4, all(&[of("web", 5, "1.0.0", &[])]))).await.unwrap();
    assert!(replan(&task, routing(), &[4]).await.is_empty());
    assert_eq!(ports(&task.published), [vec![5]]);
}

#[tokio::test]
async fn who_wants_everything_is_one_of_all_where_nobody_has_decided() {
    let everything = [of("web", 1, "1.0.0", &["/"]), of("api", 2, "1.0.0", &["/", "/api"])];
    let mut task = Task::start();
    task.say(all(&everything)).await;
    assert_eq!(ports(&task.published), [vec![1, 2], vec![2]]);
    // What the operator has said of everything holds.
    let routes = vec![route("/*", 0)];
    let mut task =
        Task::with(Routing { routes, backends: vec![backend("web@2.x")], advertised_routes: true });
    task.say(all(&everything)).await;
    assert_eq!(ports(&task.published), [vec![], vec![2]]);
    // A file without such a route leaves it to them.
    let routes = vec![route("/own/*", 0)];
    let mut task =
        Task::with(Routing { routes, backends: vec![backend("web@2.x")], advertised_routes: true });
    task.say(all(&everything)).await;
    assert_eq!(ports(&task.published), [vec![], vec![1, 2], vec![2]]);
}

#[tokio::test]
async fn whom_a_new_plan_does_not_want_is_forgotten() {
    let routing = |query: &str| Routing {
        routes: vec![route("/*", 0)],
        backends: vec![Backend { name: "main".into(), ..backend(query) }],
        advertised_routes: false,
    };
    let mut task = Task::with(routing("web"));
    task.say(all(&[of("web", 1, "1.0.0", &[]), of("api", 2, "1.0.0", &[])])).await;
    let gone = Arc::downgrade(&task.endpoints()[0]);
    replan(&task, routing("api"), &[1]).await;
    assert_eq!(task.ports(), [2]);
    // Nothing is left of it in the backend of the same name, nor anywhere else.
    task.say(change(ChangeKind::Changed, of("api", 2, "1.0.1", &[]), None)).await;
    eventually(|| gone.strong_count() == 0).await;
    // It may be wanted again.
    replan(&task, routing("web"), &[1]).await;
    assert_eq!(task.ports(), [1]);
}
