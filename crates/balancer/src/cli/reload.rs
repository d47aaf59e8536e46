//! `balancer reload`: asks a balancer that runs on its admin port.

use std::process::ExitCode;

use anyhow::Context;
use berth_daemon::EXIT_CONFIG;
use clap::Args;
use reqwest::Method;
use serde::Deserialize;

use super::admin::AdminPort;

/// Has a balancer that runs read its file again
#[derive(Clone, Debug, Args)]
pub(crate) struct Reload {
    #[command(flatten)]
    admin: AdminPort,
}

#[derive(Deserialize)]
struct Report {
    generation: u64,
    changed: Vec<String>,
    needs_restart: Vec<String>,
    silent: Vec<String>,
    late: bool,
}

impl Reload {
    /// Asks, waits, and tells what came of it.
    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "what the command is for")]
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let answer = self.admin.call(Method::POST, "/reload")?;
        if answer.status == 200 {
            let report: Report = serde_json::from_slice(&answer.body).context("its answer cannot be read")?;
            for change in &report.changed {
                println!("{change}");
            }
            println!("reloaded, generation {}", report.generation);
            for key in &report.needs_restart {
                eprintln!("{key} takes effect with the next start only");
            }
            if report.late {
                eprintln!("a worker is held up: it goes by the new configuration from its next request on");
            }
            for source in &report.silent {
                eprintln!("{source} has not been heard of yet: what was known before is kept until then");
            }
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("{}", answer.problem());
        Ok(if answer.status == 422 { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE })
    }
}
