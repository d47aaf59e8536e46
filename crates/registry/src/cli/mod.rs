//! The command line: flags and environment become settings here, and nowhere else.

mod connect;
mod drain;
mod free;
mod listen;
mod output;
mod query;
mod register;
mod target;
mod wait;
mod watch;

use std::process::ExitCode;

use berth_daemon::{LogFormat, finish, init_logs};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

/// The service registry: who serves what, and where.
#[derive(Debug, Parser)]
#[command(name = "registry", version = berth_daemon::VERSION, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  registry listen 9090                         run a registry for this machine
  registry query                               which services there are
  registry query 'web@1.x'                     where a service is
  registry watch                               what happens, and why
  registry register web@1.2.3 --port 3000      register something that cannot do so itself
  registry drain web/a                         give an instance no new requests
  registry free web/a                          take an instance out")]
pub(crate) struct Command {
    /// How log lines look
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Listen(listen::Listen),
    Register(register::Register),
    Query(query::Query),
    Wait(wait::Wait),
    Watch(watch::Watch),
    Drain(drain::Drain),
    /// Give an instance requests again.
    Undrain(drain::Drain),
    Free(free::Free),
}

pub(crate) fn run(command: Command) -> ExitCode {
    init_logs(command.log_format);
    finish(match command.what {
        What::Listen(listen) => listen.run(),
        What::Register(register) => register.run(),
        What::Query(query) => query.run(),
        What::Wait(wait) => wait.run(),
        What::Watch(watch) => watch.run(),
        What::Drain(drain) => drain.run(true),
        What::Undrain(undrain) => undrain.run(false),
        What::Free(free) => free.run(),
    })
}

/// Ends the process as clap does when the command line is wrong: with usage, and exit code 2.
fn wrong_usage(kind: ErrorKind, sentence: impl std::fmt::Display) -> ! {
    Command::command().error(kind, sentence).exit()
}
