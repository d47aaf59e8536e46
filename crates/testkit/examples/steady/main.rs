//! The two ends of a chaos run: `steady load` is the clients, `steady serve` an instance that knows which POSTs it got.
//!
//!     steady load --target 127.0.0.1:8080 --rate 2000 --seconds 60
//!     steady serve --name a --port 3000 --notes a.notes --registry localhost:9090
//!
//! `scripts/chaos` starts both and judges what they tell; docs/reliability.md has the result.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints what a script reads")]

mod ask;
mod load;
mod serve;
mod shape;
mod tally;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};

/// Steady load that counts what clients see, and the instances behind it.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Sends so many requests a second, whatever becomes of them; tells each failure as a line of JSON
    Load(load::Options),
    /// Answers every request with its id, and notes each POST and each GET that takes time before that
    Serve(serve::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let outcome = runtime.block_on(async {
        match cli.role {
            Role::Load(options) => load::run(options).await,
            Role::Serve(options) => serve::run(options).await,
        }
    });
    outcome.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

fn fail(error: &std::io::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

/// Milliseconds since 1970: what all processes of a run can compare.
fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1000.0)
}
