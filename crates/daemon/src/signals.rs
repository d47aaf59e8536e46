use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
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
    let hang_up = signal(SignalKind::hangup())?;
    listen(grace, Some(hang_up))
}

/// The same for SIGTERM and SIGINT only. SIGHUP rings a bell: whoever has a configuration reads it again.
///
/// # Errors
/// The signal handlers cannot be installed.
pub fn shutdown_and_reload_on_signals(grace: Duration) -> io::Result<(Shutdown, Arc<Notify>)> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let bell = Arc::new(Notify::new());
    let rings = Arc::clone(&bell);
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            rings.notify_one();
        }
    });
    Ok((listen(grace, None)?, bell))
}

fn listen(grace: Duration, mut hang_up: Option<Signal>) -> io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = Shutdown::default();
    let stages = shutdown.clone();
    tokio::spawn(async move {
        let mut any = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                () = receive(&mut hang_up) => "SIGHUP",
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

/// Waits for a signal, for ever if there is none to wait for.
async fn receive(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
