//! An example of a service: registers itself, and sums numbers on each request.
//!
//! The three lines that make it a part of Berth stand in [`run`].

mod answer;
mod cli;
mod listener;
mod signals;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use axum::handler::Handler;
use axum::serve::ListenerExt;
use berth_client::{Error, Registration};
use clap::Parser;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use answer::{Adder, answer};
use cli::Cli;
use signals::Signals;

/// How long connections are still accepted after the goodbye: those who have not heard of it yet may come.
const LAST_CALL: Duration = Duration::from_millis(500);

/// How long running requests may take after that.
const GRACE: Duration = Duration::from_secs(30);

const EXIT_FAILURE: u8 = 1;
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.init_logs();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let outcome = runtime.block_on(run(cli));
    // Whoever asked twice for the end does not wait for a sum that is still being computed.
    runtime.shutdown_background();
    outcome.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

#[expect(clippy::print_stderr, reason = "the last words of the process, for people")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    match error.downcast_ref::<Error>() {
        Some(Error::Invalid(_)) => ExitCode::from(EXIT_USAGE),
        _ => ExitCode::from(EXIT_FAILURE),
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let listener = listener::bind(cli.port)?;
    let listening = listener.local_addr().context("cannot tell the port")?;
    let adder = Adder::new(listening.port(), cli.work, cli.delay);
    let closing = CancellationToken::new();
    let service = answer.with_state(adder.clone()).into_make_service();
    // An answer leaves at once, however small it is. A socket that cannot do that still works.
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    let serving = axum::serve(listener, service).with_graceful_shutdown(closing.clone().cancelled_owned());
    let serving = tokio::spawn(serving.into_future());
    info!(addr = %listener::shown(listening), "server listening");

    let settings = cli.registration(listening);
    let registration = Registration::start(settings)?;
    let signal = signals.next().await;

    info!(signal, "stopping; a second signal ends at once");
    adder.stop();
    let goodbye = async {
        registration.stop().await;
        sleep(LAST_CALL).await;
        closing.cancel();
        match timeout(GRACE, serving).await {
            Ok(served) => served.context("the listener's task broke")?.context("cannot accept connections"),
            Err(_) => {
                warn!(grace_s = GRACE.as_secs(), "requests still run, ending without them");
                Ok(())
            }
        }
    };
    tokio::select! {
        outcome = goodbye => outcome,
        signal = signals.next() => anyhow::bail!("ended at once by a second signal, {signal}"),
    }
}
