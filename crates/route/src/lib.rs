//! Which route a request takes: host, path, method, fields and query. No socket, no clock, no randomness of its own.
//!
//! In reading order: [`HostPattern`] and [`PathPattern`] are what a route is written with, a [`Rule`] is a route's
//! whole condition, [`read_path`] brings a request's path into the form that patterns have, the [`Table`] finds the
//! most specific rule for what is [`Asked`], and [`Shares`] spreads the traffic of one route over several backends.

mod ambiguous;
mod asked;
mod condition;
mod host;
mod normal;
mod path;
mod paths;
mod rule;
mod shares;
mod table;

pub use ambiguous::{Ambiguous, read_path};
pub use asked::Asked;
pub use host::HostPattern;
pub use normal::normal_path;
pub use path::PathPattern;
pub use rule::{Rule, is_token};
pub use shares::Shares;
pub use table::Table;
