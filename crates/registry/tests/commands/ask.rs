//! The commands that talk to a registry.

use serde_json::Value;

use crate::process::{Process, Said, run};

struct Asked {
    _registry: Process,
    address: String,
}

impl Asked {
    fn start() -> Self {
        let mut registry = Process::start(&["listen", "127.0.0.1:0"]);
        let address = registry.address();
        Self { _registry: registry, address }
    }

    /// Nobody listens where these tests register.
    fn run(&self, arguments: &[&str]) -> Said {
        let unverified: &[&str] = if arguments[0] == "register" { &["--verify", "none"] } else { &[] };
        run(&[arguments, unverified, &["--registry", &self.address]].concat())
    }

    fn done(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        said.stdout
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[arguments, &["-o", "json"]].concat())).unwrap()
    }
}

/// The words of each line.
fn words(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn register_prints_what_is_published() {
    let asked = Asked::start();
    let arguments =
        ["register", "web@1.2.3", "--port", "3000", "--id", "a", "--meta", "zone=a", "--ttl", "60"];
    let said = asked.run(&arguments);
    assert_eq!(words(&said.stdout)[1][..4], ["web", "a", "127.0.0.1:3000", "1.2.3"]);
    assert!(said.stderr.contains("60 s"), "the lease is told: {}", said.stderr);
    let again = asked.json(&arguments);
    let instance = &again["instance"];
    assert_eq!((&instance["version"], &instance["meta"]["zone"]), (&"1.2.3".into(), &"a".into()));
    assert_eq!(again["renew_s"], 20.0);
}

#[test]
fn an_instance_without_an_id_gets_the_same_one_each_time() {
    let asked = Asked::start();
    let id = || asked.json(&["register", "web", "--port", "3000"])["instance"]["id"].clone();
    assert_eq!(id(), id());
    assert!(id().as_str().unwrap().ends_with("-3000"));
}

#[test]
fn query_shows_services_instances_and_fields() {
    let asked = Asked::start();
    asked.done(&["register", "web@1.2.3", "--port", "3000", "--id", "a", "--meta", "zone=x"]);
    asked.done(&["register", "web@2.0.0", "--port", "3001", "--id", "b"]);
    asked.done(&["register", "api", "--port", "3002", "--id", "c"]);
    assert_eq!(words(&asked.done(&["query"])), [["SERVICE", "INSTANCES"], ["api", "1"], ["web", "2"]]);
    assert_eq!(asked.json(&["query"])["services"]["web"], 2);

    let web = asked.done(&["query", "web"]);
    let expected = [
        ["ID", "ADDRESS", "VERSION", "WEIGHT", "DRAINING", "META"],
        ["a", "127.0.0.1:3000", "1.2.3", "1", "no", "zone=x"],
        ["b", "127.0.0.1:3001", "2.0.0", "1", "no", "-"],
    ];
    assert_eq!(words(&web), expected);
    let only = asked.done(&["query", "web@1.x", "port", "meta.zone"]);
    assert_eq!(words(&only), [["PORT", "META.ZONE"], ["3000", "x"]]);
    assert_eq!(words(&asked.done(&["query", "web", "id", "--meta", "zone=x"])), [["ID"], ["a"]]);
    let chosen = asked.json(&["query", "web@2.x", "address"]);
    assert_eq!(chosen["instances"], serde_json::json!([{"address": "127.0.0.1:3001"}]));
    assert_eq!(asked.json(&["query", "web"])["instances"].as_array().unwrap().len(), 2);
}

#[test]
fn an_empty_answer_says_so_beside_the_data() {
    let asked = Asked::start();
    for arguments in [&["query"][..], &["query", "web@1.x"]] {
        let said = asked.run(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""));
        assert!(said.stderr.contains("is registered"), "{}", said.stderr);
    }
    assert_eq!(asked.json(&["query", "web"])["instances"], serde_json::json!([]));
}

#[test]
fn free_takes_an_instance_out() {
    let asked = Asked::start();
    let register = |id| asked.json(&["register", "web", "--port", "3000", "--id", id]);
    register("a");
    let run = register("b")["instance"]["run"].as_str().unwrap().to_owned();
    assert_eq!(asked.done(&["free", "web/a"]), "web/a removed\n");
    let other = asked.run(&["free", "web", "b", "--run", "5"]);
    assert_eq!(other.code, Some(1), "another run stays");
    assert_eq!(asked.json(&["free", "web", "b", "--run", &run])["reason"], "deregistered");
    let gone = asked.run(&["free", "web/b"]);
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(1), ""));
    assert!(gone.stderr.contains("No such run of web/b"), "{}", gone.stderr);
}

#[test]
fn watch_tells_each_change_with_its_reason() {
    let asked = Asked::start();
    asked.done(&["register", "web", "--port", "3000", "--id", "a"]);
    let mut lines = Process::start(&["watch", "--registry", &asked.address]);
    let mut objects = Process::start(&["watch", "web", "-o", "json", "--registry", &asked.address]);
    let mut object = || serde_json::from_str::<Value>(&objects.line()).unwrap();
    assert!(lines.line().starts_with("listed  web/a at 127.0.0.1:3000"));
    assert_eq!((&object()["event"]), "snapshot");
    asked.done(&["register", "web@1.0.0", "--port", "3001", "--id", "b"]);
    assert!(lines.line().starts_with("joined  web@1.0.0/b at 127.0.0.1:3001"));
    assert_eq!(object()["kind"], "joined");
    asked.done(&["free", "web/a"]);
    assert!(lines.line().starts_with("left    web/a at 127.0.0.1:3000 (removed)"));
    let left = object();
    assert_eq!(
        (&left["event"], &left["kind"], &left["reason"]),
        (&"change".into(), &"left".into(), &"removed".into())
    );
}

#[test]
fn a_registry_that_is_not_there_is_explained() {
    // A connected socket holds its port, but nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let holder = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let address = holder.local_addr().unwrap().to_string();
    for arguments in [
        &["query"][..],
        &["watch"],
        &["free", "web/a"],
        &["drain", "web/a"],
        &["wait", "web", "--timeout", "10ms"],
        &["register", "web", "--port", "1"],
        &["query", "web"],
    ] {
        let said = run(&[arguments, &["--registry", &address]].concat());
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        for part in [address.as_str(), "registry listen", "--registry"] {
            assert!(said.stderr.contains(part), "{}", said.stderr);
        }
    }
}

#[test]
fn several_registries_are_told_and_united() {
    let (one, other) = (Asked::start(), Asked::start());
    let both = format!("{},{}", one.address, other.address);
    one.done(&["register", "web", "--port", "3000", "--id", "a"]);
    other.done(&["register", "web", "--port", "3001", "--id", "b"]);
    let arguments =
        ["register", "api", "--port", "3002", "--id", "c", "--verify", "none", "--registry", &both];
    assert_eq!(run(&arguments).code, Some(0));
    let ids = run(&["query", "web", "id", "--registry", &both]);
    assert_eq!(words(&ids.stdout), [["ID"], ["a"], ["b"]]);
    // The first made a run for an owner that named none, and the other was told the same.
    let services = run(&["query", "--registry", &both]);
    assert_eq!(words(&services.stdout), [["SERVICE", "INSTANCES"], ["api", "1"], ["web", "2"]]);
    assert_eq!(run(&["free", "api/c", "--registry", &both]).code, Some(0));
    for asked in [&one, &other] {
        assert_eq!(asked.json(&["query", "api"])["instances"], serde_json::json!([]));
    }
    // One that is away is told of, and the other counts.
    let half = run(&["query", "web", "id", "--registry", &format!("127.0.0.1:1,{}", one.address)]);
    assert_eq!((half.code, words(&half.stdout)), (Some(0), vec![vec!["ID"], vec!["a"]]));
    assert!(half.stderr.contains("127.0.0.1:1"), "{}", half.stderr);
}

#[test]
fn bad_arguments_are_explained() {
    for arguments in [
        &["query", "we b"][..],
        &["query", "web@one"],
        &["query", "web", "nofield"],
        &["register", "web"],
        &["register", "web", "--port", "0"],
        &["register", "web", "--port", "80", "--ttl", "1"],
        &["register", "web", "--port", "80", "--meta", "x"],
        &["register", "web", "--port", "80", "--host", "0.0.0.0"],
        &["register", "web", "--port", "80", "--verify", "udp"],
        &["free", "web"],
        &["drain", "web"],
        &["undrain", "a/b/c"],
        &["wait"],
        &["wait", "web", "--timeout", "soon"],
        &["query", "--wait", "30s"],
        &["listen", "0", "--max-name", "129"],
        &["listen", "0", "--max-connections", "0"],
        &["free", "web/a/b"],
        &["free", "web", "a", "--run", "x"],
        &["watch", "we b"],
        &["query", "-o", "yaml"],
        &["query", "--registry", "9090"],
    ] {
        let refused = run(arguments);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(refused.stderr.contains("--help"), "{}", refused.stderr);
    }
}

#[test]
fn help_shows_examples() {
    let commands = ["listen", "register", "query", "wait", "watch", "drain", "undrain", "free"];
    for command in [&[][..]].into_iter().chain(commands.iter().map(std::slice::from_ref)) {
        let help = run(&[command, &["--help"]].concat());
        assert_eq!(help.code, Some(0));
        assert!(help.stdout.contains("Examples:\n  registry "), "{}", help.stdout);
    }
    assert!(run(&["--version"]).stdout.starts_with("registry "));
}
