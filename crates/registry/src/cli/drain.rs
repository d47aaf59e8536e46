use anyhow::Result;
use berth_client::model::{Instance, Patch};
use clap::Args;

use super::connect::{Connect, block_on};
use super::output::{self, Format};
use super::target::Target;

/// Give an instance no new requests; the running ones finish. It stays registered, and keeps the state.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  registry drain web/a
  registry undrain web/a")]
pub(super) struct Drain {
    #[command(flatten)]
    target: Target,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connect: Connect,
}

impl Drain {
    /// Sets the state at every registry that knows the instance.
    pub(super) fn run(self, draining: bool) -> Result<()> {
        let (service, id) = self.target.names();
        let patch = Patch { draining: Some(draining), ..Patch::default() };
        let patched = self.connect.call(async |lookup| lookup.patch(&service, &id, &patch).await);
        let instances: Vec<Instance> = block_on(patched)?;
        match (self.output, &instances[..]) {
            (Format::Json, [instance, ..]) => output::json(instance),
            _ => {
                let state = if draining { "draining" } else { "takes requests" };
                output::line(format!("{service}/{id} {state}"))
            }
        }
    }
}
