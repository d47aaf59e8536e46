use anyhow::Result;
use berth_client::model::{Reason, Run};
use clap::Args;
use serde_json::json;

use super::connect::{Connect, block_on};
use super::output::{self, Format};
use super::target::Target;

/// Take an instance out: its run ends as removed, and does not come back by itself.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  registry free web/a                 whatever run is there, as an operator
  registry free web a --run 1882441692261769619
                                      this run only, as its owner would")]
pub(super) struct Free {
    #[command(flatten)]
    target: Target,
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
        let (service, id) = self.target.names();
        block_on(self.connect.call(async |lookup| lookup.end(&service, &id, self.run).await))?;
        let reason = if self.run.is_some() { Reason::Deregistered } else { Reason::Removed };
        match self.output {
            Format::Json => output::json(&json!({"service": service, "id": id, "reason": reason})),
            Format::Table => output::line(format!("{service}/{id} {reason}")),
        }
    }
}
