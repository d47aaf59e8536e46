use anyhow::Result;
use berth_client::model::{InstanceId, Reason, Run, ServiceName};
use clap::Args;
use clap::error::ErrorKind;
use serde_json::json;

use super::connect::Connect;
use super::output::{self, Format};
use super::wrong_usage;

/// Take an instance out: its run ends as removed, and does not come back by itself.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  registry free web/a                 whatever run is there, as an operator
  registry free web a --run 1882441692261769619
                                      this run only, as its owner would")]
pub(super) struct Free {
    /// The service and the id of the instance
    #[arg(value_names = ["NAME/ID", "ID"], num_args = 1..=2, required = true)]
    which: Vec<String>,
    /// End this run only, as deregistered; any other stays
    #[arg(long, value_name = "RUN")]
    run: Option<Run>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connect: Connect,
}

impl Free {
    pub(super) fn run(self) -> Result<()> {
        let (service, id) = self.target();
        self.connect.call(async |lookup| lookup.end(&service, &id, self.run).await)?;
        let reason = if self.run.is_some() { Reason::Deregistered } else { Reason::Removed };
        match self.output {
            Format::Json => output::json(&json!({"service": service, "id": id, "reason": reason})),
            Format::Table => output::line(format!("{service}/{id} {reason}")),
        }
    }

    fn target(&self) -> (ServiceName, InstanceId) {
        let parts = match self.which.as_slice() {
            [one] => one.split_once('/'),
            [service, id] => Some((service.as_str(), id.as_str())),
            _ => None,
        };
        let parsed = parts.map(|(service, id)| Ok((service.parse()?, id.parse()?)));
        match parsed.unwrap_or_else(|| wrong_usage(ErrorKind::ValueValidation, "write NAME/ID, or NAME ID")) {
            Ok(target) => target,
            Err(invalid) => {
                let invalid: berth_client::model::Invalid = invalid;
                wrong_usage(ErrorKind::ValueValidation, invalid)
            }
        }
    }
}
