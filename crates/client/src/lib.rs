//! Register a service with Berth and follow the list of instances.
//!
//! A service takes part with three lines, once its listener is bound:
//!
//! ```no_run
//! use berth_client::{Registration, Settings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = tokio::net::TcpListener::bind("[::]:0").await?;
//!
//! let settings = Settings::new("web@1.2.3".parse()?, listener.local_addr()?);
//! let registration = Registration::start(settings)?;
//! // Serve on the listener until it is time to go.
//! registration.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! It need not wait for the registry, nor care for it: [`Registration`] registers as soon as the registry is
//! there, renews the lease, and registers again after the registry was restarted.
//!
//! [`Watch`] follows the list of instances, [`Lookup`] makes the single calls. The nouns are those of [`model`].

mod address;
mod backoff;
mod call;
mod error;
mod event_stream;
mod link;
mod lookup;
mod register;
mod stream;
mod watch;

pub use address::{RegistryAddress, RegistryList};
pub use backoff::Backoff;
pub use berth_model as model;
pub use error::{Error, Problem};
pub use event_stream::{Event, EventParser, MAX_EVENT_BYTES, TooLarge};
pub use link::Links;
pub use lookup::Lookup;
pub use register::{Ended, Registration, Settings, State};
pub use watch::{Update, Watch};
