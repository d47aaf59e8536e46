use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

pub use rustix::process::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, prlimit};

use crate::eventually;

/// The path of one of the project's binaries, built if need be. A script that has built them all says so with
/// `BERTH_BUILT=1`.
pub fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        if std::env::var_os("BERTH_BUILT").is_none() {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--workspace", "--bins"]);
            if !cfg!(debug_assertions) {
                build.arg("--release");
            }
            assert!(build.status().expect("cargo").success(), "the binaries cannot be built");
        }
    });
    // Tests lie in TARGET/PROFILE/deps, binaries beside that folder.
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).expect("a target folder").join(name);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// A process of ours: its log is read as it comes, and it is killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts one of the project's binaries. No variable of the caller's environment leads it astray.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        Self::start_with(name, arguments, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary(name));
        for variable in ["BERTH_REGISTRY", "BERTH_TOKEN", "RUST_LOG"] {
            command.env_remove(variable);
        }
        // Nor does it remember, or leave anything behind in the caller's home.
        command.env("BERTH_STATE", "none");
        command.envs(variables.iter().copied());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        collect(child.stderr.take().unwrap(), Arc::clone(&log));
        Self { child, name: name.to_owned(), log }
    }

    /// Waits for a line of its log that has all these parts, and returns it.
    pub fn wait_for_line(&self, parts: &[&str]) -> String {
        eventually(&format!("a line of {} with {parts:?}", self.name), || {
            let found = self.lines().into_iter().find(|line| parts.iter().all(|part| line.contains(part)));
            assert!(found.is_some() || !self.is_dead(), "{} ended; its log: {:#?}", self.name, self.lines());
            found
        })
    }

    /// The address in the first line that says "listening".
    pub fn address(&self) -> SocketAddr {
        self.address_in(&format!("{} listening", self.name))
    }

    /// The address in the first line that says this.
    pub fn address_in(&self, what: &str) -> SocketAddr {
        let line = self.wait_for_line(&[what, "addr="]);
        let address =
            line.split("addr=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address");
        let address: SocketAddr = address.parse().unwrap_or_else(|error| panic!("{address}: {error}"));
        // What listens everywhere is reached here.
        if address.ip().is_unspecified() {
            SocketAddr::from(([127, 0, 0, 1], address.port()))
        } else {
            address
        }
    }

    /// All lines of its log so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).expect("a process id"), signal).expect("kill");
    }

    /// From now on it may open no file, nor connection, whose number is not below this; all that are open stay so. Returns
    /// what was allowed before.
    pub fn limit_files(&self, most: u64) -> u64 {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let limit = Rlimit { current: Some(most), ..getrlimit(Resource::Nofile) };
        prlimit(pid, Resource::Nofile, limit).expect("prlimit").current.expect("a limit")
    }

    /// Stops it as SIGSTOP does, and waits until every one of its threads stands still.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        eventually(&format!("{} stands still", self.name), || {
            let mut threads = std::fs::read_dir(&tasks).expect("it runs").filter_map(Result::ok);
            threads.all(|thread| state(&thread.path().join("stat")) == Some('T')).then_some(())
        });
    }

    /// How many ends of pipes it has open.
    pub fn pipe_ends(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs");
        let target = |file: std::io::Result<std::fs::DirEntry>| std::fs::read_link(file.ok()?.path()).ok();
        files.filter_map(target).filter(|target| target.to_string_lossy().starts_with("pipe:")).count()
    }

    /// Ends it the hard way, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually(&format!("the end of {}", self.name), || self.child.try_wait().expect("wait"))
    }

    /// Asks it to end, as Ctrl-C or a supervisor would, and asserts that it does so cleanly.
    pub fn stop(&mut self, signal: Signal) {
        self.signal(signal);
        let status = self.wait();
        assert!(status.success(), "{} ended with {status}; its log: {:#?}", self.name, self.lines());
    }

    /// Waits for its end and returns its exit code, what it printed and what it logged.
    pub fn output(mut self) -> (Option<i32>, String, String) {
        let mut printed = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        let status = self.wait();
        // The log's reader may still be a line behind.
        eventually("the end of the log", || (Arc::strong_count(&self.log) == 1).then_some(()));
        (status.code(), printed, self.lines().join("\n"))
    }

    /// A reader of what it prints; once.
    pub fn printed(&mut self) -> impl BufRead + use<> {
        BufReader::new(self.child.stdout.take().expect("stdout is read once"))
    }

    fn is_dead(&self) -> bool {
        let state = state(format!("/proc/{}/stat", self.child.id()).as_ref());
        matches!(state, None | Some('Z')) && Arc::strong_count(&self.log) == 1
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            #[allow(clippy::print_stderr, reason = "the log of a failed test's process is what explains it")]
            for line in self.lines() {
                eprintln!("[{}] {line}", self.name);
            }
        }
    }
}

/// What a process or a thread does, by proc(5): `T` stands still, `Z` has ended.
fn state(stat: &std::path::Path) -> Option<char> {
    let text = std::fs::read_to_string(stat).ok()?;
    text.rsplit(')').next()?.trim_start().chars().next()
}

fn collect(stderr: impl Read + Send + 'static, log: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            let Ok(line) = line else { return };
            log.lock().unwrap().push(line);
        }
    });
}
