use std::sync::Arc;

use berth_client::Update;
use berth_daemon::RunningClock;
use berth_model::{Change, ChangeKind, Instance, Reason, Revision, Run, Scheme, Snapshot as Listed, Ttl};
use berth_pick::{Endpoint, InFlight};
use tokio::sync::{mpsc, watch};

use super::{Published, Said, Upstreams, nobody};

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
}

impl Task {
    fn start() -> Self {
        let published = Arc::new(Published::new(nobody("web".into(), 0)));
        let (said, waiting) = mpsc::channel(8);
        let (heard, is_heard) = watch::channel(false);
        let task = Upstreams::new(vec![None], Arc::clone(&published), RunningClock::start(), false);
        tokio::spawn(task.run(waiting, heard));
        Self { published, said, heard: is_heard }
    }

    /// Says something and waits until it has been taken in.
    async fn say(&mut self, update: Update) {
        self.heard.mark_unchanged();
        self.said.send((0, update)).await.unwrap();
        self.heard.changed().await.unwrap();
    }

    fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        let mut endpoints = self.published.current().set.endpoints().to_vec();
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
    task.say(change(ChangeKind::Left, instance(1), Some(Reason::Expired))).await;
    assert_eq!(task.ports(), [2]);
    task.say(change(ChangeKind::Joined, instance(1), None)).await;
    assert_eq!(task.endpoints()[0].key(), key);
    drop(under_way);
    task.say(change(ChangeKind::Left, instance(1), Some(Reason::Expired))).await;
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
    task.say(all(&[])).await;
    assert!(task.published.generation() > first && task.ports().is_empty());
}
