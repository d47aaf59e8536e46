use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use berth_model::{Meta, Run, Scheme, Ttl};
use tempfile::TempDir;
use tracing::field::{Field, Visit};
use tracing::span;

use super::*;

const HERE: Option<&str> = Some("5e1c");
const SAVED_AT: u64 = 1_700_000_000;

fn now(seconds_later: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(SAVED_AT.saturating_add_signed(seconds_later))
}

fn instance(host: &str, port: u16) -> Instance {
    Instance {
        service: "web".parse().unwrap(),
        id: format!("i{port}").parse().unwrap(),
        run: Run::new(1, 1),
        version: Some("1.2.3".parse().unwrap()),
        host: host.parse().unwrap(),
        port,
        scheme: Scheme::Https,
        weight: 3,
        zone: Some("a".to_owned()),
        routes: vec!["/api".to_owned()],
        meta: Meta::default(),
        ttl_s: Ttl::DEFAULT,
        draining: true,
    }
}

fn saved(instances: Vec<Instance>) -> Saved {
    let address = "[::1]:9090".parse().unwrap();
    let (heard_at, instances) = (Some(SAVED_AT), instances.into_iter().map(Arc::new).collect());
    let first = SavedRegistry { address, epoch: Some(u64::MAX), heard_at, instances };
    let address = "a.example:1".parse().unwrap();
    let second = SavedRegistry { address, epoch: None, heard_at, instances: Vec::new() };
    Saved { saved_at: SAVED_AT, boot_id: HERE.map(str::to_owned), registries: vec![first, second] }
}

/// A folder with a state file in it.
struct Scene {
    folder: TempDir,
    path: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        Self { folder, path }
    }

    fn with(saved: &Saved) -> Self {
        let scene = Self::new();
        scene.file().save(saved);
        scene
    }

    fn file(&self) -> StateFile {
        StateFile::new(self.path.clone())
    }

    fn load(&self) -> Option<Saved> {
        self.file().load(now(1), HERE)
    }

    /// All files that there are.
    fn names(&self) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(self.folder.path()).unwrap().map(name).collect();
        names.sort();
        names
    }
}

/// Collects what is told to the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// The lines that this makes: the level, the fields and the message.
    fn of<T>(act: impl FnOnce() -> T) -> (T, Vec<String>) {
        let log = Self::default();
        let done = tracing::subscriber::with_default(log.clone(), act);
        let lines = log.0.lock().unwrap().clone();
        (done, lines)
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

/// Asserts that the file is not read, with one line of this level that says why, and that it is where it was.
fn assert_unread(scene: &Scene, level: &str, why: &str) {
    let names = scene.names();
    let (found, lines) = Log::of(|| scene.load());
    assert_eq!(found, None, "{why}");
    assert!(matches!(lines.as_slice(), [line] if line.starts_with(level) && line.contains(why)), "{lines:?}");
    assert_eq!(scene.names(), names);
}

#[test]
fn what_is_saved_is_loaded() {
    let saved = saved(vec![instance("10.0.0.1", 1), instance("fd00::1", 2), instance("127.0.0.1", 3)]);
    let (found, lines) = Log::of(|| Scene::with(&saved).load());
    assert_eq!((found, lines.len()), (Some(saved), 0));
    let (found, lines) = Log::of(|| Scene::new().load());
    assert_eq!((found, lines.len()), (None, 0), "no file is nothing to tell");
}

#[test]
fn it_is_versioned_json() {
    let scene = Scene::with(&saved(vec![instance("10.0.0.1", 1)]));
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&scene.path).unwrap()).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["registries"][0]["address"], "[::1]:9090");
    assert_eq!(json["registries"][0]["instances"][0]["host"], "10.0.0.1");
}

#[test]
fn it_is_for_its_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/berth/state.json");
    StateFile::new(path.clone()).save(&saved(Vec::new()));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&folder.path().join("state")), 0o700);
    // A folder that is there stays as it is.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    StateFile::new(folder.path().join("other.json")).save(&saved(Vec::new()));
    assert_eq!(mode(folder.path()), 0o755);
}

#[test]
fn it_is_always_whole() {
    let scene = Scene::new();
    let few = saved(vec![instance("10.0.0.1", 1)]);
    let many = saved((1..1000).map(|port| instance("10.0.0.1", port)).collect());
    scene.file().save(&few);
    let (is_over, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let found = scene.load().expect("a whole file");
                assert!(found == few || found == many);
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut file = scene.file();
        while !reader.is_finished() && reads.load(Ordering::Relaxed) < 100 {
            file.save(&many);
            file.save(&few);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(scene.names(), ["state.json"]);
}

#[test]
fn what_a_killed_process_left_is_no_obstacle() {
    let scene = Scene::new();
    let new = scene.file().beside(&format!("{}.new", std::process::id()));
    fs::write(&new, "{\"vers").unwrap();
    scene.file().save(&saved(Vec::new()));
    assert_eq!((scene.load(), scene.names().len()), (Some(saved(Vec::new())), 1));
    // Nor is it written through a link.
    let other = scene.folder.path().join("other");
    fs::write(&other, "mine").unwrap();
    symlink(&other, &new).unwrap();
    scene.file().save(&saved(Vec::new()));
    assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
    assert_eq!(scene.names(), ["other", "state.json"]);
}

#[test]
fn what_other_processes_left_is_removed() {
    let scene = Scene::new();
    let write = |name: &str, age: Duration| {
        let file = fs::File::create(scene.folder.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    };
    let long = LONGEST_WRITE * 2;
    write("state.json.1.new", long);
    write("state.json.23.new", long);
    // Somebody may be writing this one.
    write("state.json.4.new", Duration::ZERO);
    let others = ["other.json.1.new", "state.json..new", "state.json.1.new.bak", "state.json.a.new"];
    others.iter().for_each(|name| write(name, long));
    scene.file().save(&saved(Vec::new()));
    let mut expected = [&["state.json", "state.json.4.new"][..], &others].concat();
    expected.sort_unstable();
    assert_eq!(scene.names(), expected);
}

#[test]
fn what_somebody_else_may_have_written_is_not_read() {
    let scene = Scene::with(&saved(Vec::new()));
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(&scene.path, fs::Permissions::from_mode(mode)).unwrap();
        assert_unread(&scene, "WARN", "other users may write to it");
    }
    fs::set_permissions(&scene.path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(scene.load().is_some());

    let link = Scene::new();
    symlink(&scene.path, &link.path).unwrap();
    assert_unread(&link, "WARN", "symbolic link");
    let folder = Scene::new();
    fs::create_dir(&folder.path).unwrap();
    assert_unread(&folder, "WARN", "no regular file");
    let pipe = Scene::new();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe.path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_unread(&pipe, "WARN", "no regular file");
}

#[test]
fn what_belongs_to_somebody_else_is_not_read() {
    let mut scene = Scene::with(&saved(Vec::new()));
    if std::os::unix::fs::chown(&scene.path, Some(12345), None).is_err() {
        // Only root gives files away; but then this one is somebody else's.
        scene.path = "/etc/passwd".into();
    }
    assert_unread(&scene, "WARN", "belongs to another user");
}

#[test]
fn what_is_damaged_is_set_aside() {
    let whole = Scene::with(&saved(vec![instance("10.0.0.1", 1)]));
    let whole = fs::read_to_string(&whole.path).unwrap();
    assert!(Scene::with_text(&whole).load().is_some());
    let damages = [
        String::new(),
        "\0".repeat(100),
        whole[..whole.len() - 1].to_owned(),
        whole.clone() + "}",
        whole.replace("\"version\":1", "\"version\":2"),
        whole.replace("\"version\":1", "\"version\":\"1\""),
        whole.replace("\"version\":1,", ""),
        whole.replace("\"saved_at\"", "\"saved\""),
        whole.replace("[::1]:9090", "ftp://a"),
        // Each instance is checked as on the wire.
        whole.replace("\"web\"", "\"w b\""),
        whole.replace("10.0.0.1", "10.0.0.256"),
        whole.replace("\"port\":1", "\"port\":65536"),
        whole.replace("1.2.3", "one"),
        format!("{whole}{}", " ".repeat(MOST_BYTES as usize)),
    ];
    for text in damages {
        assert_ne!(text, whole);
        let shown = &text[..text.len().min(200)];
        let scene = Scene::with_text(&text);
        let (found, lines) = Log::of(|| scene.load());
        assert_eq!(found, None, "{shown}");
        assert!(matches!(lines.as_slice(), [line] if line.starts_with("WARN")), "{lines:?}");
        assert_eq!(scene.names(), ["state.json.damaged"], "{shown}");
        assert!(fs::read_to_string(scene.path.with_extension("json.damaged")).unwrap() == text);
        // It is told once, and a new one is written.
        assert_eq!(Log::of(|| scene.load()), (None, Vec::new()));
        scene.file().save(&saved(Vec::new()));
        assert!(scene.load().is_some());
    }
}

impl Scene {
    fn with_text(text: &str) -> Self {
        let scene = Self::new();
        fs::write(&scene.path, text).unwrap();
        fs::set_permissions(&scene.path, fs::Permissions::from_mode(0o600)).unwrap();
        scene
    }
}

#[test]
fn it_holds_for_a_day() {
    let scene = Scene::with(&saved(Vec::new()));
    let found = |seconds_later: i64| Log::of(|| scene.file().load(now(seconds_later), HERE));
    for seconds in [0, 60, 24 * 60 * 60, -300] {
        assert_eq!(found(seconds), (Some(saved(Vec::new())), Vec::new()), "{seconds}");
    }
    for (seconds, why) in [(24 * 60 * 60 + 1, "older than a day"), (-301, "from the future")] {
        let (found, lines) = found(seconds);
        assert_eq!(found, None);
        assert!(
            matches!(lines.as_slice(), [line] if line.starts_with("INFO") && line.contains(why)),
            "{lines:?}"
        );
    }
    assert_eq!(scene.names(), ["state.json"]);
}

#[test]
fn each_list_holds_for_a_day() {
    let mut both = saved(vec![instance("10.0.0.1", 1)]);
    both.registries[0].heard_at = Some(SAVED_AT - 10);
    let scene = Scene::with(&both);
    let addresses = |seconds_later: i64| -> Vec<String> {
        let found = scene.file().load(now(seconds_later), HERE).unwrap();
        found.registries.iter().map(|registry| registry.address.to_string()).collect()
    };
    assert_eq!(addresses(24 * 60 * 60 - 10), ["[::1]:9090", "a.example:1"]);
    assert_eq!(addresses(24 * 60 * 60 - 9), ["a.example:1"]);
    // Without a time of its own it has that of the file.
    both.registries[0].heard_at = None;
    scene.file().save(&both);
    assert_eq!(scene.load(), Some(saved(vec![instance("10.0.0.1", 1)])));
}

#[test]
fn loopback_is_of_one_start_of_the_machine() {
    let hosts = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "10.0.0.1", "fd00::1"];
    let with = |hosts: &[&str]| saved(hosts.iter().map(|host| instance(host, 1)).collect());
    let all = with(&hosts);
    let scene = Scene::with(&all);
    assert_eq!(scene.file().load(now(0), HERE), Some(all.clone()));
    let others = Some(with(&hosts[4..]));
    assert_eq!(scene.file().load(now(0), Some("another")), others);
    assert_eq!(scene.file().load(now(0), None), others);
    let unknown = Scene::with(&Saved { boot_id: None, ..all });
    let others = others.map(|saved| Saved { boot_id: None, ..saved });
    assert_eq!(unknown.file().load(now(0), HERE), others);
    assert_eq!(unknown.file().load(now(0), None), others);
}

#[test]
fn this_start_of_the_machine_has_a_name() {
    let id = boot_id().expect("Linux tells it");
    assert!(!id.contains(char::is_whitespace) && id.len() >= 32, "{id:?}");
    assert_eq!(boot_id(), Some(id));
}

#[test]
fn a_failure_is_told_once_and_the_balancer_goes_on() {
    let scene = Scene::new();
    // A file where the folder should be: not even root can write below it.
    fs::write(&scene.path, "mine").unwrap();
    let mut file = StateFile::new(scene.path.join("state.json"));
    let (_, lines) = Log::of(|| (0..3).for_each(|_| file.save(&saved(Vec::new()))));
    assert!(matches!(lines.as_slice(), [line] if line.starts_with("WARN")), "{lines:?}");
    assert_eq!(fs::read_to_string(&scene.path).unwrap(), "mine");
    // Once it works, it works.
    fs::remove_file(&scene.path).unwrap();
    file.save(&saved(Vec::new()));
    assert_eq!(file.load(now(0), HERE), Some(saved(Vec::new())));
}

#[test]
fn nothing_but_a_file_is_replaced() {
    let scene = Scene::new();
    let other = scene.folder.path().join("other");
    fs::write(&other, "mine").unwrap();
    symlink(&other, &scene.path).unwrap();
    let (_, lines) = Log::of(|| scene.file().save(&saved(Vec::new())));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(fs::symlink_metadata(&scene.path).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
    fs::remove_file(&scene.path).unwrap();
    fs::create_dir(&scene.path).unwrap();
    scene.file().save(&saved(Vec::new()));
    assert_eq!(scene.names(), ["other", "state.json"]);
}
