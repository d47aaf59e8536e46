//! What balancers remember of registries, for a start while none of them answers.

use std::fs;
use std::path::Path;

use berth_testkit::{Http, Process, Signal, SteadyUpstream, eventually};

use crate::site::{Balancer, File, port_of, registry, server};

/// Waits until this file says that this server is listed.
fn wait_until_kept(state: &Path, server: &Process) {
    let port = format!("\"port\":{}", server.address().port());
    eventually("the list is kept", || {
        fs::read_to_string(state).unwrap_or_default().contains(&port).then_some(())
    });
}

#[test]
fn a_registry_that_is_not_heard_keeps_its_list() {
    let (first, second) = (registry(), registry());
    let addresses = [&first, &second].map(|registry| registry.address().to_string());
    let servers = [server(&addresses[0]), server(&addresses[1])];
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let arguments = ["--registry", &addresses.join(","), "--state", state.to_str().unwrap()];
    let balancer = Balancer::start(&arguments);
    balancer.wait_for_endpoints(2);
    servers.iter().for_each(|server| wait_until_kept(&state, server));
    drop((balancer, second));
    // Another has answered: the file is not used, and is written again with what that lists.
    let balancer = Balancer::start(&arguments);
    let joins = server(&addresses[0]);
    wait_until_kept(&state, &joins);
    drop((balancer, first));
    let balancer = Balancer::start(&arguments);
    balancer.wait_for_endpoints(3);
    let mut seen: Vec<u16> = (0..6).map(|_| port_of(Http::once(balancer.address, "/").text())).collect();
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() == 3 && seen.contains(&servers[1].address().port()), "{seen:?}");
}

#[test]
fn the_usual_file_follows_reloads() {
    let registry = registry();
    let address = registry.address().to_string();
    let server = server(&address);
    let steady = SteadyUpstream::saying("a");
    let home = tempfile::tempdir().unwrap();
    let kept = || {
        let files = fs::read_dir(home.path().join("berth")).into_iter().flatten().flatten();
        // One that is being written is not kept yet.
        let files =
            files.map(|file| file.path()).filter(|path| path.extension().is_none_or(|it| it != "new"));
        let port = format!("\"port\":{}", server.address().port());
        let texts = files.map(|path| fs::read_to_string(path).unwrap_or_default());
        texts.filter(|text| text.contains(&port)).count()
    };
    // It begins without a registry, and so without a memory.
    let file = File::with(&format!("upstream: http://{}\n", steady.address()));
    let balancer = file.balancer_at_home(home.path());
    let reload = |text: &str| {
        file.set(text);
        let answer = Http::connect(balancer.admin).send("POST", "/reload", "Host: localhost\r\n", b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().contains("\"needs_restart\":[]"), "{}", answer.text());
    };
    reload(&format!("registry: {address}\n"));
    eventually("the list is kept", || (kept() == 1).then_some(()));
    reload(&format!("registry: {address}\nservice: server\n"));
    eventually("it is kept elsewhere as well", || (kept() == 2).then_some(()));
    drop((balancer, registry));
    let balancer = file.balancer_at_home(home.path());
    assert_eq!(port_of(Http::once(balancer.address, "/").text()), server.address().port());
}

#[test]
fn the_last_word_is_written_at_the_end() {
    let registry = registry();
    let address = registry.address().to_string();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let mut balancer = Balancer::start(&["--registry", &address, "--state", state.to_str().unwrap()]);
    let first = server(&address);
    wait_until_kept(&state, &first);
    // The next write has to wait for a second.
    let second = server(&address);
    balancer.wait_for_endpoints(2);
    balancer.process.stop(Signal::TERM);
    let port = format!("\"port\":{}", second.address().port());
    assert!(fs::read_to_string(&state).unwrap().contains(&port));
}
