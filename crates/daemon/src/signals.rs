use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The two stages of an end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled at the first signal: take nothing new, finish what runs.
    pub graceful: CancellationToken,
    /// Cancelled at the second signal, or when the grace is over: drop everything.
    pub forced: CancellationToken,
}

/// Listens for SIGTERM, SIGINT and SIGHUP from now on; the first one starts the graceful end, which may take
/// `grace`.
///
/// # Errors
/// The signal handlers cannot be installed.
pub fn shutdown_on_signals(grace: Duration) -> io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let shutdown = Shutdown::default();
    let stages = shutdown.clone();
    tokio::spawn(async move {
        let mut any = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                _ = hang_up.recv() => "SIGHUP",
            }
        };
        let name = any().await;
        info!(signal = name, grace_s = grace.as_secs_f64(), "shutting down; a second signal ends at once");
        stages.graceful.cancel();
        tokio::select! {
            name = any() => warn!(signal = name, "ending at once"),
            () = tokio::time::sleep(grace) => warn!("the grace is over, ending now"),
        }
        stages.forced.cancel();
    });
    Ok(shutdown)
}
