use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A process that is measured; killed when it is dropped.
pub(crate) struct Peer {
    child: Child,
}

impl Peer {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self {
            child: command
                .stdin(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        }
    }

    /// Starts one of our binaries and reads the address from its log.
    pub(crate) fn listening(command: &mut Command) -> (Self, SocketAddr) {
        let mut peer = Self::start(command.stderr(Stdio::piped()).stdout(Stdio::null()));
        let mut log = BufReader::new(peer.child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening addr=") || line.contains("admin") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "{command:?} ended");
        }
        let address = line.split("addr=").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        // A full pipe would stop it.
        std::thread::spawn(move || drop(log.read_to_end(&mut Vec::new())));
        (peer, address)
    }

    pub(crate) fn registry() -> (Self, SocketAddr) {
        Self::listening(
            Command::new(binary("registry"))
                .args(["listen", "127.0.0.1:0"])
                .env("RUST_LOG", "warn,berth_registry=info"),
        )
    }

    /// The registry on one core, this process on the other.
    pub(crate) fn registry_on_one_core() -> (Self, SocketAddr) {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(binary("registry")).args(["listen", "127.0.0.1:0"]);
        let own = std::process::id().to_string();
        Command::new("taskset").args(["-a", "-p", "-c", "1", &own]).stdout(Stdio::null()).status().unwrap();
        Self::listening(&mut command)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        resident_bytes(self.id())
    }

    /// The time that it has computed so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // utime and stime are the 14th and 15th fields of proc(5), in hundredths of a second.
        fields[11..13].iter().map(|field| field.parse::<f64>().unwrap() / 100.0).sum()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process holds in memory.
pub(crate) fn resident_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// One of our binaries, built in the same way as this one.
pub(crate) fn binary(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_registry")).with_file_name(name);
    assert!(path.exists(), "{} is missing: run scripts/bench-registry", path.display());
    path
}

/// Whether a rival is installed.
pub(crate) fn is_installed(name: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {name} >/dev/null")]).status().unwrap().success()
}
