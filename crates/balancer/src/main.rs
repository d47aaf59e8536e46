//! The binary `balancer`.

mod cli;

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use berth_balancer::config::{Loaded, Problems, Settings, load, settle};
use berth_daemon::EXIT_CONFIG;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use tracing::{info, warn};

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
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
    if let (Some(Command::Check), Some(path), Some(file)) = (cli.command, &cli.config, &file) {
        return checked(&name_of(path), file, &settings);
    }
    let said = file.as_ref().and_then(|file| file.options.log_format);
    berth_daemon::init_logs(options.log_format.or(said).unwrap_or_default());
    for problem in file.iter().flat_map(|file| &file.warnings) {
        warn!("{}", problem.line());
    }
    berth_daemon::finish(start(settings))
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

fn start(settings: Settings) -> anyhow::Result<()> {
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
        let shutdown =
            berth_daemon::shutdown_on_signals(settings.grace).context("cannot listen for signals")?;
        berth_balancer::run(bound, settings, None, shutdown).await?;
        anyhow::Ok(())
    })
}
