//! What every Berth process needs around its work: signals that become a shutdown token, a clock that ages
//! nobody while the process stands still, logs, exit codes, and what build this is.

mod build;
mod clock;
mod descriptors;
mod exit;
mod logs;
mod signals;

pub use build::VERSION;
pub use clock::{RunningClock, RunningTime};
pub use descriptors::raise_descriptor_limit;
pub use exit::{EXIT_CONFIG, EXIT_FAILURE, EXIT_USAGE, finish};
pub use logs::{LogFormat, init_logs};
pub use signals::{Shutdown, shutdown_and_reload_on_signals, shutdown_on_signals};
