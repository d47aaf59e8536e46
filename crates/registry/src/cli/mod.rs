//! The command line: flags and environment become settings here, and nowhere else.

mod listen;

use std::process::ExitCode;

use berth_daemon::{LogFormat, init_logs};
use clap::{Parser, Subcommand};

/// The service registry: who serves what, and where.
#[derive(Debug, Parser)]
#[command(name = "registry", version = berth_daemon::VERSION, arg_required_else_help = true)]
pub(crate) struct Command {
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Listen(listen::Listen),
}

pub(crate) fn run(command: Command) -> ExitCode {
    init_logs(command.log_format);
    match command.what {
        What::Listen(listen) => listen.run(),
    }
}
