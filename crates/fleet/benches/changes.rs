//! What a change costs where there are many endpoints. `cargo bench -p berth-fleet`.
#![allow(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

use berth_fleet::{Fleet, Membership, Said, SourceId};
use berth_model::{Change, ChangeKind, Instance, Meta, Reason, Revision, Run, Scheme, Snapshot, Ttl};
use berth_pick::{Roster, Signal};
use criterion::Criterion;

const MANY: u16 = 10_000;
const START: Duration = Duration::from_secs(1000);

fn instance(number: u16, run: Run, weight: u16) -> Instance {
    Instance {
        service: "web".parse().unwrap(),
        id: number.to_string().parse().unwrap(),
        run,
        version: None,
        host: "127.0.0.1".parse().unwrap(),
        port: 1 + number,
        scheme: Scheme::Http,
        weight,
        zone: None,
        routes: Vec::new(),
        meta: Meta::default(),
        ttl_s: Ttl::DEFAULT,
        draining: false,
    }
}

fn registered(number: u16, weight: u16) -> Instance {
    instance(number, Run::new(1, 1), weight)
}

fn snapshot(epoch: u64, instances: Vec<Instance>) -> Said {
    Said::Snapshot(Snapshot { revision: Revision { epoch, sequence: 1 }, instances, ended: Vec::new() })
}

fn change(kind: ChangeKind, instance: Instance, reason: Option<Reason>) -> Said {
    Said::Change(Change { revision: Revision { epoch: 1, sequence: 2 }, kind, instance, reason })
}

struct Site {
    fleet: Fleet,
    roster: Roster,
}

impl Site {
    /// One registry that lists so many, and so many servers that are named.
    fn new(registered_count: u16, named_count: u16) -> Self {
        let mut site = Self { fleet: Fleet::new(1), roster: Roster::default() };
        let sources: BTreeSet<SourceId> = (0..=u64::from(named_count)).collect();
        site.fleet.keep(START, &sources, &BTreeSet::from([0]));
        site.say(0, snapshot(1, (0..registered_count).map(|it| registered(it, 1)).collect()));
        for named in 0..named_count {
            let server = instance(named, Run::STATIC, 1);
            site.say(1 + u64::from(named), snapshot(0, vec![server]));
        }
        site
    }

    fn say(&mut self, source: SourceId, said: Said) {
        self.fleet.say(START, source, said);
        self.settle();
    }

    /// What a balancer does after each event.
    fn settle(&mut self) {
        for identity in self.fleet.take_changed() {
            if self.fleet.member(&identity).is_some() {
                let endpoint = self.roster.endpoint(&identity, None, None);
                let web = Membership { group: "web".into(), check: None };
                self.fleet.place(START, &identity, &endpoint, vec![web]);
            } else {
                self.roster.forget(&identity);
            }
        }
        black_box((self.fleet.take_turns(), self.fleet.next_deadline()));
    }

    /// Numbers far apart from each other, one after another.
    fn next(number: &mut u16) -> u16 {
        *number = (*number + 7919) % MANY;
        *number
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("10000 endpoints");
    let (mut number, mut weight) = (0, 1);

    let mut site = Site::new(MANY, 0);
    group.bench_function("one changes its weight", |bencher| {
        bencher.iter(|| {
            weight = 1 + weight % 100;
            let changed = registered(Site::next(&mut number), weight);
            site.say(0, change(ChangeKind::Changed, changed, None));
        });
    });
    group.bench_function("one leaves and another comes", |bencher| {
        bencher.iter(|| {
            let it = Site::next(&mut number);
            site.say(0, change(ChangeKind::Left, registered(it, 1), Some(Reason::Deregistered)));
            site.say(0, change(ChangeKind::Joined, registered(it, 1), None));
        });
    });
    group.bench_function("one refuses a connection and is listed again", |bencher| {
        bencher.iter(|| {
            let instance = registered(Site::next(&mut number), 1);
            let identity = instance.identity();
            let endpoint = site.roster.endpoint(&identity, None, None);
            endpoint.signals().raise(Signal::Refused);
            site.fleet.signalled(START, endpoint.key());
            site.settle();
            site.say(0, change(ChangeKind::Left, instance.clone(), Some(Reason::Expired)));
            site.say(0, change(ChangeKind::Joined, instance, None));
        });
    });
    group.bench_function("the registry lists all again", |bencher| {
        let all: Vec<Instance> = (0..MANY).map(|it| registered(it, 1)).collect();
        bencher.iter(|| site.say(0, snapshot(1, all.clone())));
    });
    group.bench_function("one changes in the grace of a new epoch", |bencher| {
        let mut site = Site::new(MANY, 0);
        site.say(0, snapshot(2, Vec::new()));
        bencher.iter(|| {
            weight = 1 + weight % 100;
            let changed = registered(Site::next(&mut number), weight);
            site.say(0, change(ChangeKind::Changed, changed, None));
        });
    });

    let mut site = Site::new(1, MANY);
    group.bench_function("one changes its weight beside as many that are named", |bencher| {
        bencher.iter(|| {
            weight = 1 + weight % 100;
            site.say(0, change(ChangeKind::Changed, registered(0, weight), None));
        });
    });
    group.bench_function("one that is named refuses a connection", |bencher| {
        bencher.iter(|| {
            let identity = instance(Site::next(&mut number), Run::STATIC, 1).identity();
            let endpoint = site.roster.endpoint(&identity, None, None);
            endpoint.signals().raise(Signal::Refused);
            site.fleet.signalled(START, endpoint.key());
            site.settle();
        });
    });
    group.finish();
    criterion.final_summary();
}
