//! What every strategy is for, shown over thousands of choices.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

mod all;
mod hashed;
mod load;
mod queue;
mod round_robin;
mod site;
mod weights;
#[path = "../../examples/simulate/world.rs"]
mod world;
