//! The binary `balancer`.

mod cli;

use std::process::ExitCode;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use tracing::info;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    if let Err(sentence) = cli.check() {
        cli::Cli::command().error(ErrorKind::ArgumentConflict, sentence).exit();
    }
    berth_daemon::init_logs(cli.log_format);
    berth_daemon::finish(start(cli))
}

fn start(cli: cli::Cli) -> anyhow::Result<()> {
    let open_files = berth_daemon::raise_descriptor_limit();
    let settings = cli.settings(open_files);
    info!(open_files, connections = settings.most_connections, "limits");
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
        berth_balancer::run(bound, settings, shutdown).await?;
        anyhow::Ok(())
    })
}
