//! `balancer endpoints`: what a balancer that runs believes of its endpoints, and why.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;

use super::admin::AdminPort;

/// Asks a balancer that runs what it believes of its endpoints, and why
#[derive(Clone, Debug, Args)]
pub(crate) struct Endpoints {
    #[command(flatten)]
    admin: AdminPort,

    /// How it is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

#[derive(Deserialize)]
struct Shown {
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    service: String,
    id: String,
    address: String,
    state: String,
    because: String,
    since: Timestamp,
    doubted: bool,
    in_flight: u64,
    last_probe: Option<Probe>,
}

#[derive(Deserialize)]
struct Probe {
    at: Timestamp,
    outcome: String,
    status: Option<u16>,
}

const TITLES: [&str; 8] = ["SERVICE", "ID", "ADDRESS", "STATE", "FOR", "IN FLIGHT", "LAST PROBE", "BECAUSE"];

impl Endpoints {
    #[expect(clippy::print_stderr, reason = "what the command is for")]
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let answer = self.admin.call(Method::GET, "/v1/endpoints")?;
        if answer.status != 200 {
            eprintln!("{}", answer.problem());
            return Ok(ExitCode::FAILURE);
        }
        let text = match self.output {
            Output::Json => String::from_utf8(answer.body).context("its answer cannot be read")? + "\n",
            Output::Table => {
                table(&serde_json::from_slice(&answer.body).context("its answer cannot be read")?)
            }
        };
        match io::stdout().write_all(text.as_bytes()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written.context("cannot write")?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(shown: &Shown) -> String {
    let now = Timestamp::now();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(TITLES);
    table.add_rows(shown.endpoints.iter().map(|endpoint| {
        let state =
            if endpoint.doubted { format!("{}, in doubt", endpoint.state) } else { endpoint.state.clone() };
        let probe = endpoint.last_probe.as_ref().map_or("-".to_owned(), |probe| {
            let status = probe.status.map(|status| format!(" {status}")).unwrap_or_default();
            format!("{}{status}, {} ago", probe.outcome, ago(now, probe.at))
        });
        [
            endpoint.service.clone(),
            endpoint.id.clone(),
            endpoint.address.clone(),
            state,
            ago(now, endpoint.since),
            endpoint.in_flight.to_string(),
            probe,
            endpoint.because.clone(),
        ]
    }));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// How long ago that was, to two units at most.
fn ago(now: Timestamp, then: Timestamp) -> String {
    let passed = Duration::try_from(now.duration_since(then)).unwrap_or_default();
    let whole = match passed.as_secs() {
        0 => Duration::from_millis(passed.subsec_millis().into()),
        1..3600 => Duration::from_secs(passed.as_secs()),
        seconds => Duration::from_secs(seconds / 60 * 60),
    };
    humantime::format_duration(whole).to_string()
}
