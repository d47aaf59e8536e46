use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::registration::read_json;
use crate::{InstanceId, Invalid, Reason, Run, ServiceName};

/// The most instances that one link may name.
const MAX_LINKED: usize = 512;

/// A run by its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunName {
    /// The service.
    pub service: ServiceName,
    /// The instance.
    pub id: InstanceId,
    /// Which life of it.
    pub run: Run,
}

/// The body that opens a link: all runs of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    /// The runs, each once.
    pub instances: Vec<RunName>,
}

impl LinkRequest {
    /// Reads and checks a request body.
    ///
    /// # Errors
    /// The first thing that is wrong: JSON, an unknown field, a name, no run at all, too many, one twice.
    pub fn from_json(body: &[u8]) -> Result<Self, Invalid> {
        let request: Self = read_json(body)?;
        let wrong = |problem: String, mend| Err(Invalid::new("instances", problem, mend));
        if request.instances.is_empty() {
            return wrong("is empty".to_owned(), "Name the runs that this process has registered.");
        }
        if request.instances.len() > MAX_LINKED {
            return wrong(
                format!("has {} entries", request.instances.len()),
                "Send at most 512, and open another link.",
            );
        }
        let mut sorted: Vec<&RunName> = request.instances.iter().collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return wrong(format!("names {}/{} twice", pair[0].service, pair[0].id), "Name each run once.");
        }
        Ok(request)
    }
}

/// The data of the event `changed` of a link: what others changed of a run. Its owner says so from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkChanged {
    /// Which run.
    #[serde(flatten)]
    pub run: RunName,
    /// The new weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// The whole new meta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<BTreeMap<String, String>>,
}

/// The data of the event `ended` of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkEnded {
    /// Which run.
    #[serde(flatten)]
    pub run: RunName,
    /// Why; none when the registry does not know the run (any more).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}
