//! Register a service with Berth and follow the list of instances.

mod address;
mod call;
mod error;
mod lookup;

pub use address::RegistryAddress;
pub use berth_model as model;
pub use error::{Error, Problem};
pub use lookup::Lookup;
