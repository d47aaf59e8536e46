//! The binary `balancer`.

mod cli;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use berth_balancer::config::{Loaded, Options, Problems, Settings, load, settle};
use berth_balancer::{Reloading, Reread};
use berth_daemon::EXIT_CONFIG;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use tracing::{info, warn};

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let asked = match &cli.command {
        Some(Command::Reload(reload)) => Some(reload.run()),
        Some(Command::Endpoints(endpoints)) => Some(endpoints.run()),
        Some(Command::Check) | None => None,
    };
    if let Some(asked) = asked {
        return asked.unwrap_or_else(|error| berth_daemon::finish(Err(error)));
    }
    if cli.command.is_some() && cli.config.is_none() {
        let what = "which file? balancer check -c FILE";
        Cli::command().error(ErrorKind::MissingRequiredArgument, what).exit();
    }
    let options = cli.options();
    let file = match cli.config.as_deref().map(read).transpose() {
        Ok(file) => file,
        Err(problems) => return wrong_file(&problems.to_string()),
    };
    let open_files = berth_daemon::raise_descriptor_limit();
    let settings = match (settle(&options, file.as_ref(), open_files), &cli.config) {
        (Ok(settings), _) => settings,
        (Err(unsettled), Some(path)) => return wrong_file(&format!("{}: {unsettled}", name_of(path))),
        (Err(unsettled), None) => Cli::command().error(ErrorKind::ArgumentConflict, unsettled).exit(),
    };
    if let (Some(Command::Check), Some(path), Some(file)) = (&cli.command, &cli.config, &file) {
        return checked(&name_of(path), file, &settings);
    }
    berth_daemon::init_logs(settings.log_format);
    for problem in file.iter().flat_map(|file| &file.warnings) {
        warn!("{}", problem.line());
    }
    berth_daemon::finish(start(settings, cli.config, options))
}

/// Reads the file; `-` is standard input.
fn read(path: &Path) -> Result<Loaded, Problems> {
    let name = name_of(path);
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| Problems::unreadable(&name, error))?;
    load(&text, &name, &|variable| std::env::var(variable).ok())
}

fn name_of(path: &Path) -> String {
    if path.as_os_str() == "-" { "stdin".to_owned() } else { path.display().to_string() }
}

#[expect(clippy::print_stderr, reason = "the last words of a process, before there is a log")]
fn wrong_file(problems: &str) -> ExitCode {
    eprintln!("{problems}");
    ExitCode::from(EXIT_CONFIG)
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what the command is for")]
fn checked(name: &str, file: &Loaded, settings: &Settings) -> ExitCode {
    for problem in &file.warnings {
        eprintln!("{problem}");
    }
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (routes, backends) = (settings.routing.routes.len(), settings.routing.backends.len());
    println!("{name} is valid: {}, {}", counted(routes, "route"), counted(backends, "backend"));
    ExitCode::SUCCESS
}

/// Reads the file again, for a balancer that runs.
fn reread(path: &Path, options: &Options, open_files: u64) -> Result<Settings, String> {
    if path.as_os_str() == "-" {
        return Err("the configuration came from standard input, which cannot be read again".to_owned());
    }
    if std::fs::metadata(path).is_ok_and(|data| !data.is_file()) {
        return Err(format!("{} is no regular file, and cannot be read again", name_of(path)));
    }
    let file = read(path).map_err(|problems| problems.to_string())?;
    if file.is_empty() {
        // Somebody is about to write it, or the disk is full.
        return Err(format!("{} says nothing: to go back to the defaults, start anew", name_of(path)));
    }
    let settings = settle(options, Some(&file), open_files);
    let settings = settings.map_err(|unsettled| format!("{}: {unsettled}", name_of(path)))?;
    for problem in &file.warnings {
        warn!("{}", problem.line());
    }
    Ok(settings)
}

fn start(settings: Settings, file: Option<PathBuf>, options: Options) -> anyhow::Result<()> {
    info!(open_files = settings.open_files, connections = settings.most_connections, "limits");
    // Ports first: whoever starts a second balancer learns it before anything else happens.
    let bound = berth_balancer::bind(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the control runtime")?;
    runtime.block_on(async {
        let (grace, open_files) = (settings.grace, settings.open_files as u64);
        let (reloading, shutdown) = match file {
            None => (None, berth_daemon::shutdown_on_signals(grace).context("cannot listen for signals")?),
            Some(path) => {
                let signals = berth_daemon::shutdown_and_reload_on_signals(grace);
                let (shutdown, bell) = signals.context("cannot listen for signals")?;
                let watched = (path.as_os_str() != "-").then(|| path.clone());
                let reread: Reread = Arc::new(move || reread(&path, &options, open_files));
                (Some(Reloading { reread, file: watched, bell }), shutdown)
            }
        };
        berth_balancer::run(bound, settings, reloading, shutdown).await?;
        anyhow::Ok(())
    })
}
