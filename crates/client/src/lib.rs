//! Register a service with Berth and follow the list of instances.

mod address;
mod backoff;
mod call;
mod error;
mod event_stream;
mod lookup;
mod watch;

pub use address::RegistryAddress;
pub use backoff::Backoff;
pub use berth_model as model;
pub use error::{Error, Problem};
pub use event_stream::{Event, EventParser, MAX_EVENT_BYTES, TooLarge};
pub use lookup::Lookup;
pub use watch::{Update, Watch};
