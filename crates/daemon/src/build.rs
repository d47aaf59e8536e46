/// The version of this build, as `--version` prints it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
