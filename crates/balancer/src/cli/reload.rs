//! `balancer reload`: asks a balancer that runs on its admin port.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use berth_daemon::EXIT_CONFIG;
use clap::Args;
use serde::Deserialize;

/// A reload waits for new sources and for every worker, some seconds at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whom to ask.
#[derive(Clone, Debug, Args)]
pub(crate) struct Reload {
    /// The admin port of the balancer
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9099")]
    admin: SocketAddr,

    /// The bearer token of the admin port
    #[arg(long, env = "BERTH_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[derive(Deserialize)]
struct Report {
    generation: u64,
    changed: Vec<String>,
    needs_restart: Vec<String>,
    silent: Vec<String>,
    late: bool,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Reload {
    /// Asks, waits, and tells what came of it.
    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "what the command is for")]
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, body) = runtime.block_on(self.ask()).with_context(|| {
            format!("cannot ask the balancer at {}; name its admin port with --admin ADDR", self.admin)
        })?;
        if status == 200 {
            let report: Report = serde_json::from_slice(&body).context("its answer cannot be read")?;
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
        let problem = serde_json::from_slice(&body).map(|problem: Problem| problem.detail);
        eprintln!("{}", problem.unwrap_or_else(|_| format!("the balancer answered with status {status}")));
        Ok(if status == 422 { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE })
    }

    async fn ask(&self) -> reqwest::Result<(u16, Vec<u8>)> {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let mut request = client.post(format!("http://{}/reload", self.admin));
        if let Some(token) = self.token.as_deref().filter(|token| !token.is_empty()) {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.bytes().await?.to_vec()))
    }
}
