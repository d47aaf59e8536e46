use std::fmt::Display;
use std::process::ExitCode;

/// It did not work out.
pub const EXIT_FAILURE: u8 = 1;
/// The command line is wrong; clap ends with the same code.
pub const EXIT_USAGE: u8 = 2;
/// The configuration is wrong (`EX_CONFIG` of sysexits).
pub const EXIT_CONFIG: u8 = 78;

/// Turns the end of `main` into an exit code; an error goes to stderr in one line, with what caused it.
#[expect(clippy::print_stderr, reason = "the last words of a process, also when no log was set up")]
pub fn finish<E: Display>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `{:#}` lets anyhow print the whole chain.
            eprintln!("error: {error:#}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}
