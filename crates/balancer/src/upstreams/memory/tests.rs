use berth_fleet::Said;
use berth_model::{Change, ChangeKind, Ended, Instance, Meta, Reason, Revision, Run, Scheme, Snapshot, Ttl};
use tempfile::TempDir;

use super::*;

fn instance(number: u16) -> Arc<Instance> {
    Arc::new(Instance {
        service: "web".parse().unwrap(),
        id: format!("i{number}").parse().unwrap(),
        run: Run::new(1, 1),
        version: None,
        host: "10.0.0.1".parse().unwrap(),
        port: number,
        scheme: Scheme::Http,
        weight: 1,
        zone: None,
        routes: Vec::new(),
        meta: Meta::default(),
        ttl_s: Ttl::DEFAULT,
        draining: false,
    })
}

fn all(numbers: impl IntoIterator<Item = u16>, epoch: u64) -> Said {
    let instances = numbers.into_iter().map(|number| Arc::unwrap_or_clone(instance(number))).collect();
    Said::Snapshot(Snapshot { revision: Revision { epoch, sequence: 1 }, instances, ended: Vec::new() })
}

fn change(kind: ChangeKind, number: u16, reason: Option<Reason>) -> Said {
    let instance = Arc::unwrap_or_clone(instance(number));
    Said::Change(Change { revision: Revision { epoch: 1, sequence: 2 }, kind, instance, reason })
}

fn address(source: SourceId) -> RegistryAddress {
    format!("registry{source}:1").parse().unwrap()
}

/// What a file says: each registry with its epoch and whom it lists.
type Listed = Vec<(String, Option<u64>, Vec<u16>)>;

fn told(saved: impl IntoIterator<Item = SavedRegistry>) -> Listed {
    let ports = |saved: &SavedRegistry| {
        let mut ports: Vec<u16> = saved.instances.iter().map(|instance| instance.port).collect();
        ports.sort_unstable();
        ports
    };
    let told = |saved: SavedRegistry| (saved.address.to_string(), saved.epoch, ports(&saved));
    saved.into_iter().map(told).collect()
}

/// What is expected of one registry.
fn line(source: SourceId, epoch: u64, ports: &[u16]) -> (String, Option<u64>, Vec<u16>) {
    (address(source).to_string(), Some(epoch), ports.to_vec())
}

/// A balancer's memory with its registries, and what becomes of them.
struct Scene {
    folder: TempDir,
    memory: Memory,
    fleet: Fleet,
    registries: BTreeMap<SourceId, RegistryAddress>,
    now: Duration,
}

impl Scene {
    /// The first start, with these registries.
    async fn new(sources: &[SourceId]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start(folder, sources).await
    }

    async fn start(folder: TempDir, sources: &[SourceId]) -> Self {
        let now = Duration::from_secs(100);
        let mut memory = Memory::new(&folder.path().join("a.json"), now);
        memory.load().await;
        let mut scene = Self { folder, memory, fleet: Fleet::new(1), registries: BTreeMap::new(), now };
        scene.follow(sources);
        scene
    }

    /// A balancer that is killed, and started anew.
    async fn restart(self) -> Self {
        let sources: Vec<SourceId> = self.registries.keys().copied().collect();
        Self::start(self.folder, &sources).await
    }

    fn follow(&mut self, sources: &[SourceId]) {
        self.registries = sources.iter().map(|source| (*source, address(*source))).collect();
        let sources = sources.iter().copied().collect();
        self.fleet.keep(self.now, &sources, &sources);
    }

    fn say(&mut self, source: SourceId, said: Said) {
        let is_away = said == Said::Away;
        self.fleet.say(self.now, source, said);
        if !is_away {
            self.memory.heard(source, self.now);
        }
    }

    /// Does whatever is due within this time.
    async fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let next = self.memory.next_deadline().into_iter().chain(self.fleet.next_deadline());
            self.now = next.chain([end]).min().unwrap().max(self.now);
            self.fleet.due(self.now, 9);
            self.memory.write(self.now, &self.fleet, &self.registries);
            self.memory.written().await;
            assert!(self.memory.next_deadline().is_none_or(|next| next > self.now), "it is done");
        }
    }

    async fn wait_s(&mut self, seconds: u64) {
        self.wait(Duration::from_secs(seconds)).await;
    }

    fn saved(&self, name: &str) -> Option<Saved> {
        StateFile::new(self.folder.path().join(name)).load(SystemTime::now(), boot_id().as_deref())
    }

    fn listed(&self) -> Listed {
        told(self.saved("a.json").into_iter().flat_map(|saved| saved.registries))
    }

    /// What is used when it is time for that.
    fn used(&mut self) -> Option<Listed> {
        self.memory.take_saved(self.now + PATIENCE).map(told)
    }
}

#[tokio::test]
async fn what_is_listed_is_written_and_used_at_the_next_start() {
    let mut scene = Scene::new(&[1]).await;
    assert_eq!(scene.used(), Some(Vec::new()));
    scene.say(1, all([1, 2], 7));
    scene.wait_s(1).await;
    assert_eq!(scene.listed(), [line(1, 7, &[1, 2])]);
    scene.say(1, change(ChangeKind::Left, 1, Some(Reason::Crashed)));
    scene.wait_s(1).await;
    let mut scene = scene.restart().await;
    assert!(scene.memory.is_undecided() && scene.memory.take_saved(scene.now).is_none());
    assert_eq!(scene.used(), Some(vec![line(1, 7, &[2])]));
    assert_eq!((scene.memory.is_undecided(), scene.used()), (false, None), "once");
}

#[tokio::test]
async fn it_is_not_used_when_a_registry_answers() {
    let mut scene = Scene::new(&[1, 2]).await;
    scene.say(1, all([1], 7));
    scene.wait_s(1).await;
    let mut scene = scene.restart().await;
    scene.say(2, all([2], 8));
    assert_eq!((scene.memory.is_undecided(), scene.used()), (false, None));
}

#[tokio::test]
async fn a_registry_that_is_not_heard_keeps_its_list() {
    let mut scene = Scene::new(&[1, 2, 3]).await;
    scene.say(1, all([1], 7));
    scene.say(2, all([2, 3], 8));
    scene.wait_s(1).await;
    // Of the third nobody has ever heard.
    let expected = [line(1, 7, &[1]), line(2, 8, &[2, 3])];
    assert_eq!(scene.listed(), expected);
    // As if that had been an hour ago.
    let heard_at = |scene: &Scene| scene.saved("a.json").unwrap().registries[1].heard_at;
    let mut saved = scene.saved("a.json").unwrap();
    let before = saved.registries[1].heard_at.map(|at| at - 3600);
    saved.registries[1].heard_at = before;
    StateFile::new(scene.folder.path().join("a.json")).save(&saved);
    for _ in 0..3 {
        scene = scene.restart().await;
        scene.say(1, all([1], 7));
        scene.say(2, Said::Away);
        scene.wait_s(700).await;
        assert_eq!(scene.listed(), expected);
    }
    assert_eq!(heard_at(&scene), before, "it does not become newer");
    let mut scene = scene.restart().await;
    assert_eq!(scene.used(), Some(expected.to_vec()));
    // Whoever ended by intent is forgotten, whoever tells of it.
    scene.say(1, change(ChangeKind::Left, 2, Some(Reason::Deregistered)));
    scene.say(1, change(ChangeKind::Left, 3, Some(Reason::Expired)));
    scene.wait_s(1).await;
    assert_eq!(scene.listed()[1], line(2, 8, &[3]));
}

#[tokio::test]
async fn a_registry_that_begins_anew_has_time_to_list_them_again() {
    let mut scene = Scene::new(&[1]).await;
    scene.say(1, all([1, 2, 3], 7));
    scene.wait_s(1).await;
    let mut scene = scene.restart().await;
    let revision = Revision { epoch: 8, sequence: 1 };
    let gone = instance(3).identity();
    let ended = vec![Ended { service: gone.service, id: gone.id, run: gone.run, reason: Reason::Removed }];
    let empty = Said::Snapshot(Snapshot { revision, instances: Vec::new(), ended });
    scene.say(1, empty.clone());
    scene.wait_s(13).await;
    assert_eq!(scene.listed(), [line(1, 7, &[1, 2])]);
    // The next balancer is as patient.
    let mut scene = scene.restart().await;
    scene.say(1, empty);
    scene.wait_s(13).await;
    scene.say(1, change(ChangeKind::Joined, 4, None));
    scene.say(1, change(ChangeKind::Joined, 2, None));
    scene.wait_s(1).await;
    assert_eq!(scene.listed(), [line(1, 7, &[1, 2, 4])]);
    // A second after the start it was written first.
    scene.wait_s(2).await;
    assert_eq!(scene.listed(), [line(1, 8, &[2, 4])]);
}

#[tokio::test]
async fn a_registry_of_the_same_epoch_is_believed_at_once() {
    let mut scene = Scene::new(&[1]).await;
    scene.say(1, all([1, 2], 7));
    scene.wait_s(1).await;
    let mut scene = scene.restart().await;
    scene.say(1, all([2], 7));
    scene.wait_s(1).await;
    assert_eq!(scene.listed(), [line(1, 7, &[2])]);
}

#[tokio::test]
async fn the_last_change_before_an_outage_is_written() {
    let mut scene = Scene::new(&[1]).await;
    scene.say(1, all([1], 7));
    scene.wait_s(1).await;
    scene.say(1, change(ChangeKind::Joined, 2, None));
    scene.wait(WRITE_EVERY / 2).await;
    scene.say(1, Said::Away);
    assert_eq!(scene.listed(), [line(1, 7, &[1])]);
    scene.wait(WRITE_EVERY / 2).await;
    assert_eq!(scene.listed(), [line(1, 7, &[1, 2])]);
    // But from then on it becomes no newer.
    let path = scene.folder.path().join("a.json");
    std::fs::remove_file(&path).unwrap();
    scene.wait_s(3600).await;
    assert!(!path.exists());
    scene.say(1, all([1, 2], 7));
    scene.wait_s(1).await;
    assert_eq!(scene.listed(), [line(1, 7, &[1, 2])]);
    std::fs::remove_file(&path).unwrap();
    scene.wait_s(600).await;
    assert!(path.exists(), "it is renewed while the registry answers");
}

#[tokio::test]
async fn a_list_is_as_old_as_when_its_registry_was_heard() {
    let mut scene = Scene::new(&[1, 2]).await;
    let heard_at = |scene: &Scene| scene.saved("a.json").unwrap().registries[1].heard_at.unwrap();
    scene.say(1, all([1], 7));
    scene.say(2, all([2], 8));
    // It said that long ago, and has been there since.
    let long_ago = scene.memory.heard_at[&2] - 100_000;
    scene.memory.heard_at.insert(2, long_ago);
    scene.wait_s(1).await;
    let renewed = heard_at(&scene);
    assert!(renewed >= long_ago + 100_000);
    // As if that had been written an hour ago, and it is away since.
    scene.memory.known.get_mut(&address(2)).unwrap().saved.heard_at = Some(renewed - 3600);
    scene.say(2, Said::Away);
    scene.say(1, change(ChangeKind::Joined, 3, None));
    scene.wait_s(1).await;
    assert_eq!(scene.listed(), [line(1, 7, &[1, 3]), line(2, 8, &[2])]);
    assert_eq!(heard_at(&scene), renewed - 3600);
}

#[tokio::test]
async fn what_is_unwritten_at_the_end_is_written() {
    let mut scene = Scene::new(&[1]).await;
    scene.say(1, all([1], 7));
    scene.memory.finish(scene.now, &scene.fleet, &scene.registries).await;
    assert_eq!(scene.listed(), [line(1, 7, &[1])]);
    std::fs::remove_file(scene.folder.path().join("a.json")).unwrap();
    scene.memory.finish(scene.now, &scene.fleet, &scene.registries).await;
    assert_eq!(scene.listed(), [], "once");
}

#[tokio::test]
async fn it_is_not_written_before_it_has_been_read() {
    let mut scene = Scene::new(&[1, 2]).await;
    scene.say(2, all([2], 8));
    scene.wait_s(1).await;
    let sources = [1, 2].map(|source| (source, address(source)));
    let mut memory = Memory::new(&scene.folder.path().join("a.json"), scene.now);
    memory.all_away(scene.now);
    assert!(memory.next_deadline().is_none() && memory.take_saved(scene.now).is_none());
    let mut fleet = Fleet::new(1);
    let both = [1, 2].into();
    fleet.keep(scene.now, &both, &both);
    fleet.say(scene.now, 1, all([1], 7));
    memory.heard(1, scene.now);
    memory.write(scene.now + WRITE_EVERY, &fleet, &sources.clone().into());
    assert!(memory.writing.is_none());
    memory.load().await;
    memory.write(scene.now + WRITE_EVERY, &fleet, &sources.into());
    memory.written().await;
    assert_eq!(scene.listed(), [line(1, 7, &[1]), line(2, 8, &[2])]);
}

#[tokio::test]
async fn it_follows_a_plan() {
    let mut scene = Scene::new(&[1, 2]).await;
    scene.say(1, all([1], 7));
    scene.say(2, all([2], 8));
    scene.wait_s(1).await;
    let path = scene.folder.path().join("b.json");
    let elsewhere = |scene: &Scene| told(scene.saved("b.json").unwrap().registries);
    // The second is not wanted any more, a third is; it was heard before its plan holds.
    scene.follow(&[1, 3]);
    scene.fleet.say(scene.now, 3, all([3], 9));
    scene.memory.adopt(&path, scene.now, true);
    scene.memory.load().await;
    scene.wait_s(1).await;
    assert_eq!(elsewhere(&scene), [line(1, 7, &[1]), line(3, 9, &[3])]);
    assert_eq!(scene.listed(), [line(1, 7, &[1]), line(2, 8, &[2])], "for who goes back");
    // Back there, one of them cannot be reached by now.
    let mut scene = Scene { memory: Memory::new(&path, scene.now), fleet: Fleet::new(1), ..scene };
    scene.memory.load().await;
    scene.follow(&[1, 2]);
    scene.say(1, all([1, 4], 7));
    scene.memory.adopt(&scene.folder.path().join("a.json"), scene.now, true);
    scene.memory.load().await;
    scene.wait_s(1).await;
    assert_eq!(scene.listed(), [line(1, 7, &[1, 4]), line(2, 8, &[2])]);
}

#[tokio::test]
async fn a_large_one_is_written_less_often() {
    for (count, rest) in [(3, 1), (1000, 1), (5000, 5)] {
        let mut scene = Scene::new(&[1]).await;
        scene.say(1, all(1..=count, 7));
        scene.wait_s(1).await;
        scene.say(1, change(ChangeKind::Left, 1, Some(Reason::Deregistered)));
        assert_eq!(scene.memory.next_deadline(), Some(scene.now + Duration::from_secs(rest)), "{count}");
        scene.wait_s(rest).await;
        assert_eq!(scene.listed()[0].2.len(), usize::from(count) - 1);
    }
}
