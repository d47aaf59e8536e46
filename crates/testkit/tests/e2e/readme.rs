//! What README.md tells a person to type does what it says there.

use std::collections::BTreeSet;
use std::path::Path;

use berth_testkit::{Http, Process, SteadyUpstream, eventually};

use crate::site::{Balancer, free_port, port_of, registry};

fn readme() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    std::fs::read_to_string(root.join("README.md")).expect("README.md")
}

/// The lines of the fenced or indented blocks that begin with one of our commands, without their comments.
fn commands(text: &str) -> Vec<Vec<String>> {
    let ours = ["registry ", "balancer ", "server"];
    let line = |line: &str| {
        let line = line.trim().split(" # ").next().unwrap().trim().to_owned();
        let is_ours = ours.iter().any(|name| line == name.trim() || line.starts_with(name));
        is_ours.then(|| line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect())
    };
    let mut inside = false;
    let blocks = text.lines().filter(|line| {
        inside ^= line.trim_start().starts_with("```");
        inside && !line.trim_start().starts_with("```")
    });
    blocks.collect::<Vec<_>>().into_iter().filter_map(line).collect()
}

#[test]
fn the_first_lines_of_the_readme_work_as_they_stand() {
    let commands = commands(&readme());
    assert_eq!(
        commands[..3].iter().map(|words| words[0].as_str()).collect::<Vec<_>>(),
        ["registry", "balancer", "server"]
    );
    // As they stand, but for the ports, which a test cannot take.
    let (registry_port, port) = (free_port().to_string(), free_port().to_string());
    let run = |words: &[String], more: &[&str]| {
        let arguments: Vec<String> = words[1..]
            .iter()
            .map(|word| word.replace("9090", &registry_port))
            .chain(more.iter().map(|word| (*word).to_owned()))
            .collect();
        Process::start(&words[0], &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let _registry = run(&commands[0], &[]);
    let balancer = run(&commands[1], &["--port", &port, "--admin", "none"]);
    let address = format!("localhost:{registry_port}");
    let _servers: Vec<Process> = (0..3).map(|_| run(&commands[2], &["--registry", &address])).collect();
    let address = balancer.address();
    let mut client = Http::connect(address);
    eventually("three servers in turn", || {
        let answers: Vec<_> = (0..3).map(|_| client.get("/")).collect();
        let ports: BTreeSet<u16> = answers
            .iter()
            .filter(|answer| answer.status == 200)
            .map(|answer| port_of(answer.text()))
            .collect();
        (ports.len() == 3).then_some(())
    });
}

#[test]
fn the_curls_of_the_readme_register_renew_and_say_goodbye() {
    let registry = registry();
    let address = registry.address().to_string();
    let text = readme();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("curl -X ")).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    // The registry dials it.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let mut run = String::new();
    for line in lines {
        let line = line.replace("localhost:9090", &address).replace("RUN", &run);
        let line = line.replace("3000", &port).replace("curl ", "curl -sf ");
        let output = std::process::Command::new("sh").args(["-c", &line]).output().expect("sh");
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{line}: {answer}");
        if let Some((_, rest)) = answer.split_once("\"run\":\"") {
            run = rest.split('"').next().unwrap().to_owned();
        }
    }
    registry.wait_for_line(&["instance joined", "service=web"]);
    registry.wait_for_line(&["instance left", "deregistered"]);
}

#[test]
fn the_line_without_a_registry_works() {
    let text = readme();
    let line = text.lines().find(|line| line.contains("`balancer --upstream ")).expect("the line");
    let command = line.split('`').find(|code| code.starts_with("balancer --upstream")).unwrap();
    let upstreams = [SteadyUpstream::saying("a"), SteadyUpstream::saying("b")];
    let arguments = command
        .replace("3000", &upstreams[0].address().port().to_string())
        .replace("3001", &upstreams[1].address().port().to_string());
    let arguments: Vec<&str> = arguments.split_whitespace().skip(1).collect();
    let balancer = Balancer::start(&arguments);
    balancer.wait_for_endpoints(2);
    let mut client = Http::connect(balancer.address);
    let answers: Vec<_> = (0..4).map(|_| client.get("/").body).collect();
    assert_ne!(answers[0], answers[1]);
    assert_eq!(answers[..2], answers[2..]);
}

#[test]
fn every_flag_in_the_readme_exists() {
    let help: String = ["registry", "balancer", "server"]
        .iter()
        .flat_map(|name| {
            let commands: &[&[&str]] = match *name {
                "registry" => &[
                    &["--help"],
                    &["listen", "--help"],
                    &["register", "--help"],
                    &["query", "--help"],
                    &["wait", "--help"],
                    &["watch", "--help"],
                    &["drain", "--help"],
                    &["undrain", "--help"],
                    &["free", "--help"],
                ],
                _ => &[&["--help"]],
            };
            commands.iter().map(|arguments| Process::start(name, arguments).output().1)
        })
        .collect();
    let text = readme();
    let rows = text.lines().filter(|line| line.starts_with("| `--"));
    let flags: BTreeSet<&str> = rows
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .filter_map(|code| code.split([' ', '=']).next())
        .filter(|word| word.starts_with("--"))
        .collect();
    assert!(flags.len() >= 20, "the table of flags is missing: {flags:?}");
    for flag in flags {
        assert!(help.contains(flag), "README.md names {flag}, which no command knows");
    }
    for flag in help.split_whitespace().filter(|word| word.starts_with("--")) {
        let flag = flag.trim_end_matches([',', '.', ';', ')', ']']).split(['=', '.']).next().unwrap();
        let everybodys = ["--help", "--version"].contains(&flag);
        assert!(everybodys || text.contains(&format!("`{flag}")), "README.md's table does not know {flag}");
    }
}
