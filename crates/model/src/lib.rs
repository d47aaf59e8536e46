//! The nouns that travel between registry, services and balancers, and their validation.
//!
//! Everything here is plain data. What comes from outside is parsed into these types once, at the edge, with
//! an [`Invalid`] that names the field and the mend; code behind the edge never sees an unchecked value.

mod answer;
mod event;
mod instance;
mod invalid;
mod link;
mod meta;
mod name;
mod query;
mod registration;
mod revision;
mod route;
mod run;
mod ttl;
mod version;

pub use answer::{Found, Registered, Renewed, Services};
pub use event::{Change, ChangeKind, Ended, Reason, Snapshot, Tick};
pub use instance::{Identity, Instance, Scheme};
pub use invalid::{Invalid, excerpt};
pub use link::{LinkChanged, LinkEnded, LinkRequest, RunName};
pub use meta::Meta;
pub use name::{InstanceId, MAX_NAME_BYTES, ServiceName};
pub use query::{NamedVersion, Query};
pub use registration::{Patch, Registration, Verify};
pub use revision::Revision;
pub use route::check_route;
pub use run::Run;
pub use ttl::Ttl;
pub use version::Version;

/// The largest request body that a registry reads unless it is told otherwise, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
