//! axum glue that the registry's API and the balancer's admin port share.
//!
//! A caller builds a plain [`axum::Router`], wraps it with [`protect()`] and hands it to [`serve()`]:
//!
//! - [`Problem`]: every error answer, a problem document of RFC 9457.
//! - [`protect()`], [`Access`], [`Token`]: who may read and write, and how large a body may be.
//! - [`observability`]: `/healthz`, `/readyz`, `/metrics`.
//! - [`event`], [`event_stream`]: the framing of event streams.
//! - [`serve()`]: connections on several listeners, their number, and their end.

mod access;
mod body;
mod observe;
mod problem;
mod protect;
mod refuse;
mod serve;
mod sse;

pub use access::{Access, Token};
pub use observe::{Readiness, observability};
pub use problem::Problem;
pub use protect::protect;
pub use serve::{ServeLimits, serve};
pub use sse::{event, event_stream};
