//! The binary `balancer`.

mod cli;

use std::process::ExitCode;

use anyhow::Context;
use berth_balancer::config::{Settings, settle};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use tracing::info;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let options = cli.options();
    let open_files = berth_daemon::raise_descriptor_limit();
    let settings = match settle(&options, None, open_files) {
        Ok(settings) => settings,
        Err(unsettled) => cli::Cli::command().error(ErrorKind::ArgumentConflict, unsettled).exit(),
    };
    berth_daemon::init_logs(options.log_format.unwrap_or_default());
    berth_daemon::finish(start(settings))
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
