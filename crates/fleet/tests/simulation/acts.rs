//! What happens in a world.

use std::time::Duration;

use berth_model::{Identity, Instance, Reason, Revision, Snapshot};

use super::registry::{Registry, renew};
use super::walk::Walk;
use super::world::{Life, Process, Wish};

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Few, so that addresses are used again.
const PORTS: u16 = 7;
const FIXED_PORT: u16 = 20;
/// How long who has said goodbye still answers.
const LINGERS: Duration = Duration::from_millis(500);

impl Walk {
    /// The beginning: some instances; perhaps a state file, and no registry that answers.
    pub(crate) fn begin(&mut self) {
        self.keep();
        for _ in 0..self.chance.below(5) {
            self.start();
        }
        for _ in 0..self.chance.below(3) {
            self.name_server();
        }
        if self.one_in(3) {
            let mut listed: Vec<Instance> = self.world.processes.iter().map(Process::instance).collect();
            listed.retain(|it| it.run != berth_model::Run::STATIC);
            let kept = self.chance.below(4);
            let dead =
                listed.iter().take(kept).map(|it| Instance { port: 1 + it.port % PORTS, ..it.clone() });
            let dead: Vec<Instance> = dead.map(|it| Instance { id: "z".parse().unwrap(), ..it }).collect();
            listed.extend(dead.into_iter().take(1));
            for at in 0..self.registries.len() {
                let epoch = self.chance.below(2) as u64;
                self.remember(self.registries[at].source, epoch, &listed);
                let pause = self.millis(30_000);
                self.registries[at].is_missed_at = Some(self.now + pause);
            }
        } else {
            (0..self.registries.len()).for_each(|at| self.connect(at));
        }
        self.settle();
    }

    /// When what a registry says now is heard.
    fn heard_at(&mut self) -> Duration {
        let late = if self.one_in(6) { 4000 } else { 40 };
        self.now + self.millis(late)
    }

    fn connect(&mut self, at: usize) {
        let heard_at = self.heard_at();
        let registry = &mut self.registries[at];
        if registry.is_up {
            (registry.is_heard, registry.is_missed_at) = (true, None);
            registry.tell_all(self.now, heard_at);
        }
    }

    fn disconnect(&mut self, at: usize) {
        let notices = self.now + self.millis(15_000);
        let registry = &mut self.registries[at];
        if registry.is_heard {
            registry.is_heard = false;
            // Some of what it said last is still under way; the rest is lost.
            registry.outbox.truncate(1);
            registry.is_missed_at = Some(notices.max(registry.outbox.back().map_or(notices, |(at, _)| *at)));
        }
    }

    /// Renewals, leases, and those that end by themselves.
    pub(crate) fn world_ticks(&mut self) {
        let (now, at) = (self.now, self.heard_at());
        let dying = self.dying.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>();
        dying.into_iter().for_each(|(_, process)| self.world.processes[process].life = Life::Dead);
        for process in self.world.processes.iter_mut().filter(|it| it.is_alive() && it.renews_at <= now) {
            renew(now, at, process, &mut self.registries);
        }
        self.registries.iter_mut().filter(|it| it.is_up).for_each(|it| it.expire(now, at));
        self.world.look(now);
    }

    fn pick(&mut self, is_it: impl Fn(&Process) -> bool) -> Option<usize> {
        let all = self.world.processes.iter().enumerate().filter(|(_, process)| is_it(process));
        let found: Vec<usize> = all.map(|(at, _)| at).collect();
        (!found.is_empty()).then(|| found[self.chance.below(found.len())])
    }

    fn start(&mut self) {
        let port = 1 + self.chance.below(PORTS.into()) as u16;
        if self.world.is_free(port) {
            let id = IDS[self.chance.below(IDS.len())];
            let run = self.next_run;
            self.next_run += 1;
            let ttl_s = [2.0, 15.0, 15.0, 30.0][self.chance.below(4)];
            let service = if id == "e" { "api" } else { "web" };
            self.register(Process { ttl_s, ..process(service, id, run, port, self.now) });
        }
    }

    fn register(&mut self, mut process: Process) {
        let at = self.heard_at();
        process.look(self.now);
        renew(self.now, at, &mut process, &mut self.registries);
        self.tell(|_| format!("starts: {}", process.identity.clone()));
        self.world.processes.push(process);
    }

    fn name_server(&mut self) {
        let port = FIXED_PORT + self.fixed.len() as u16 + 1;
        let known = self.world.processes.iter().position(|it| it.identity.port == port);
        let at = known.unwrap_or_else(|| {
            let server = process("_upstream", &format!("s{port}"), 0, port, self.now);
            self.world.processes.push(Process { wish: Wish::None, ..server });
            self.world.processes.len() - 1
        });
        self.world.processes[at].wish = Wish::None;
        self.world.look(self.now);
        let source = self.next_source;
        self.next_source += 1;
        self.fixed.insert(source, at);
        self.keep();
        let instances = vec![self.world.processes[at].instance()];
        let revision = Revision { epoch: 0, sequence: 0 };
        self.say(source, berth_fleet::Said::Snapshot(Snapshot { revision, instances, ended: vec![] }));
    }

    fn kill(&mut self, at: usize) {
        let identity = self.world.processes[at].identity.clone();
        self.tell(|_| format!("killed: {identity}"));
        self.world.processes[at].life = Life::Dead;
        self.end_everywhere(&identity, Reason::Crashed, 5);
    }

    /// Most registries that it reaches notice.
    fn end_everywhere(&mut self, identity: &Identity, reason: Reason, unless_one_in: usize) {
        for at in 0..self.registries.len() {
            let heard_at = self.heard_at();
            if self.registries[at].can_be_reached() && !self.one_in(unless_one_in) {
                self.registries[at].end(self.now, heard_at, identity, reason);
            }
        }
    }

    /// Something happens.
    pub(crate) fn act(&mut self) {
        let (now, at) = (self.now, self.heard_at());
        let registered = |it: &Process| it.wish == Wish::Registered && it.is_alive();
        match self.chance.below(30) {
            0..=3 => self.start(),
            4 | 5 => {
                if let Some(it) = self.pick(|it| it.life != Life::Dead) {
                    self.kill(it);
                }
            }
            6 | 7 => self.change(Process::is_alive, |it| it.life = Life::Stopped),
            8 | 9 => self.change(|it| it.life == Life::Stopped, |it| it.life = Life::Alive),
            10 => self.change(|it| it.life != Life::Dead, |it| it.is_cut_off = true),
            11 | 12 => self.change(|it| it.is_cut_off, |it| it.is_cut_off = false),
            13 => self.change(Process::is_alive, |it| it.fails = !it.fails),
            14 => {
                if let Some(it) = self.pick(registered) {
                    let process = &mut self.world.processes[it];
                    process.is_draining = !process.is_draining;
                    renew(now, at, process, &mut self.registries);
                }
            }
            15 => {
                if let Some(it) = self.pick(registered) {
                    let identity = self.world.processes[it].identity.clone();
                    self.world.processes[it].wish = Wish::Ended;
                    self.dying.push((now + LINGERS, it));
                    self.end_everywhere(&identity, Reason::Deregistered, usize::MAX);
                }
            }
            16 => self.at_registry(|registry, identity| registry.end(now, at, identity, Reason::Removed)),
            17 => self.at_registry(|registry, identity| registry.end(now, at, identity, Reason::Crashed)),
            18 => self.at_registry(|registry, identity| registry.end(now, at, identity, Reason::Expired)),
            19 => self.at_registry(|registry, identity| {
                registry.listed.remove(identity);
                registry.tell_all(now, at);
            }),
            20 => self.move_one(),
            21 => self.servers_change(),
            22 => {
                self.layout = self.chance.number();
                let all: Vec<Identity> = self.fleet.identities().cloned().collect();
                all.iter().for_each(|identity| self.place(identity));
                self.settle();
            }
            _ => self.registries_act(),
        }
        self.world.look(now);
    }

    fn change(&mut self, is_it: impl Fn(&Process) -> bool, act: impl Fn(&mut Process)) {
        if let Some(at) = self.pick(is_it) {
            act(&mut self.world.processes[at]);
            self.tell(|walk| format!("{:?}", walk.world.processes[at]));
        }
    }

    /// At one registry, to one that it lists, rightly or not.
    fn at_registry(&mut self, act: impl Fn(&mut Registry, &Identity)) {
        let at = self.chance.below(self.registries.len());
        let listed: Vec<Identity> = self.registries[at].listed.keys().cloned().collect();
        if !listed.is_empty() {
            act(&mut self.registries[at], &listed[self.chance.below(listed.len())]);
        }
    }

    /// A run goes to another port.
    fn move_one(&mut self) {
        let (at, port) = (self.heard_at(), 1 + self.chance.below(PORTS.into()) as u16);
        let is_it = |it: &Process| it.wish == Wish::Registered && it.is_alive();
        if let Some(it) = self.pick(is_it).filter(|_| self.world.is_free(port)) {
            let process = &mut self.world.processes[it];
            (process.identity.port, process.answers_since) = (port, None);
            renew(self.now, at, process, &mut self.registries);
            self.tell(|walk| format!("moves: {}", walk.world.processes[it].identity));
        }
    }

    /// Servers that are named come back, or the operator names others.
    fn servers_change(&mut self) {
        let last = self.fixed.last_key_value().map(|(source, at)| (*source, *at));
        match (self.chance.below(3), last) {
            (0, _) if self.fixed.len() < 3 => self.name_server(),
            (1, Some((source, at))) => {
                self.fixed.remove(&source);
                self.world.processes[at].wish = Wish::Ended;
                self.keep();
            }
            (_, Some((_, at))) if self.world.processes[at].life == Life::Dead => {
                self.world.processes[at].life = Life::Alive;
            }
            _ => {}
        }
    }

    fn registries_act(&mut self) {
        let at = self.chance.below(self.registries.len());
        self.tell(|walk| format!("registry {at}: {:?}", walk.registries[at].is_up));
        match self.chance.below(8) {
            0 if self.registries[at].is_up => {
                self.registries[at].is_up = false;
                self.disconnect(at);
            }
            0..=2 => self.bring_up(at),
            3 => self.disconnect(at),
            4 if self.registries[at].is_up => self.connect(at),
            5 => self.registries[at].is_cut_off = true,
            6 => self.registries[at].is_cut_off = false,
            _ => {
                let heard_at = self.heard_at();
                self.registries[at].tell_all(self.now, heard_at);
            }
        }
    }

    /// It is there again, or all at once anew.
    fn bring_up(&mut self, at: usize) {
        let forgets = self.one_in(2);
        let stood = self.millis(20_000);
        let registry = &mut self.registries[at];
        registry.is_heard = false;
        if forgets {
            registry.forget_all();
        } else if !registry.is_up {
            registry.resume_leases(stood);
        }
        registry.is_up = true;
        self.connect(at);
    }

    /// All that is wrong ends.
    pub(crate) fn heal(&mut self) {
        for process in &mut self.world.processes {
            (process.is_cut_off, process.fails) = (false, false);
            if process.life == Life::Stopped {
                process.life = Life::Alive;
            }
        }
        for at in 0..self.registries.len() {
            self.registries[at].is_cut_off = false;
            self.registries[at].is_up = true;
            if !self.registries[at].is_heard {
                self.connect(at);
            }
        }
        self.world.look(self.now);
    }
}

fn process(service: &str, id: &str, run: u64, port: u16, now: Duration) -> Process {
    let identity = Identity {
        service: service.parse().unwrap(),
        id: id.parse().unwrap(),
        run: run.to_string().parse().unwrap(),
        scheme: berth_model::Scheme::Http,
        host: "127.0.0.1".parse().unwrap(),
        port,
    };
    Process {
        identity,
        ttl_s: 15.0,
        life: Life::Alive,
        wish: Wish::Registered,
        is_draining: false,
        is_cut_off: false,
        fails: false,
        answers_since: None,
        renews_at: now,
    }
}
