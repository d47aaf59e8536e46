use anyhow::Result;
use berth_client::model::{InstanceId, Invalid, ServiceName};
use clap::Args;
use clap::error::ErrorKind;

use super::wrong_usage;

/// Which instance a command is about.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The service and the id of the instance
    #[arg(value_names = ["NAME/ID", "ID"], num_args = 1..=2, required = true)]
    which: Vec<String>,
}

impl Target {
    /// The names, or the end of the process with a word on usage.
    pub(super) fn names(&self) -> (ServiceName, InstanceId) {
        let parts = match self.which.as_slice() {
            [one] => one.split_once('/'),
            [service, id] => Some((service.as_str(), id.as_str())),
            _ => None,
        };
        let Some((service, id)) = parts else {
            wrong_usage(ErrorKind::ValueValidation, "write NAME/ID, or NAME ID")
        };
        let parsed = || -> Result<_, Invalid> { Ok((service.parse()?, id.parse()?)) };
        parsed().unwrap_or_else(|invalid| wrong_usage(ErrorKind::ValueValidation, invalid))
    }
}
