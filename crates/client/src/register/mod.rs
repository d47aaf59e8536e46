//! Being listed: [`keeper`] keeps a run registered with one registry, [`host`] finds the address to register.

mod host;
mod keeper;
mod settings;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_model::{InstanceId, Run, ServiceName};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use self::settings::Settings;
use crate::{Error, Lookup, RegistryAddress};
use keeper::{Keeper, LinkTo};

/// How long a goodbye may take, all registries together.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Keeps one run of an instance registered with every registry given.
///
/// It registers, renews at a third of the lease, registers again with a registry that forgot it, and waits for
/// one that is away. It holds a link to each, by whose loss the registry sees a crash at once, and takes over what
/// operators ask of it there: drain, weight, meta; all registries hear of that. It ends when a registry says that the run was ended on purpose: `removed` by an operator,
/// or `replaced` by a newer run of the same id. Dropping it leaves the lease to run out; [`Registration::stop`]
/// says goodbye.
#[derive(Debug)]
pub struct Registration {
    owner: Arc<Owner>,
    /// What every PUT says; keepers that see it change say it again at once.
    body: Arc<watch::Sender<berth_model::Registration>>,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    // Dropping the set ends the tasks.
    keepers: JoinSet<()>,
}

/// How a registration stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The registries that accepted it and have answered since.
    pub registered_at: BTreeSet<RegistryAddress>,
    /// Those that would see a crash at once, because a link to them is open.
    pub linked_at: BTreeSet<RegistryAddress>,
    /// Why the run was ended on purpose, if it was.
    pub ended: Option<String>,
}

/// The run was ended on purpose, and not by its owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registration was ended: {why}")]
pub struct Ended {
    /// What the registry said.
    pub why: String,
}

/// Who is registered.
#[derive(Debug)]
struct Owner {
    service: ServiceName,
    id: InstanceId,
    run: Run,
    listening: std::net::SocketAddr,
}

impl Registration {
    /// Makes a new run and starts to register it; does not wait for any registry. Bind before: a registry dials
    /// the address before it publishes it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Invalid`]: a setting cannot be right.
    pub fn start(settings: Settings) -> Result<Self, Error> {
        let run = new_run();
        let body = settings.body(run)?;
        let owner = Arc::new(Owner {
            service: settings.service.service,
            id: settings.id.map_or_else(random_id, Ok)?,
            run,
            listening: settings.listening,
        });
        let body = Arc::new(watch::Sender::new(body));
        let (state_sender, state) = watch::channel(State::default());
        let stop = CancellationToken::new();
        let mut keepers = JoinSet::new();
        // One that is named twice is told once.
        for registry in settings.registries.into_iter().collect::<BTreeSet<_>>() {
            let lookup = Lookup::new(registry, settings.token.clone())?;
            let link = LinkTo { links: settings.links.clone(), token: settings.token.clone() };
            let said = Arc::clone(&body);
            let keeper = Keeper::new(lookup, link, owner.clone(), said, state_sender.clone(), stop.clone());
            keepers.spawn(keeper.run());
        }
        Ok(Self { owner, body, state, stop, keepers })
    }

    /// The instance's id.
    pub fn id(&self) -> &InstanceId {
        &self.owner.id
    }

    /// This life of the instance.
    pub fn run(&self) -> Run {
        self.owner.run
    }

    /// How it stands now, and how that changes.
    pub fn states(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until at least one registry has accepted it.
    ///
    /// # Errors
    /// The run was ended on purpose.
    pub async fn registered(&self) -> Result<(), Ended> {
        let mut states = self.states();
        let is_settled = |state: &State| !state.registered_at.is_empty() || state.ended.is_some();
        match states.wait_for(is_settled).await.map(|state| state.ended.clone()) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(Ended { why }),
            Err(_) => Err(Ended { why: "its tasks are gone".to_owned() }),
        }
    }

    /// Whether it takes no new requests: it said so itself, or an operator did.
    pub fn is_draining(&self) -> bool {
        self.body.borrow().draining
    }

    /// Asks for no new requests, or for new ones again; every later registration says the same.
    pub fn set_draining(&self, draining: bool) {
        self.body.send_if_modified(|body| std::mem::replace(&mut body.draining, draining) != draining);
    }

    /// Deregisters everywhere. Takes at most 1 s; a registry that did not hear of it lets the lease run out.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let all = async { while self.keepers.join_next().await.is_some() {} };
        if timeout(STOP_TIMEOUT, all).await.is_err() {
            warn!("not every registry took the deregistration in time; there the lease runs out");
        }
    }
}

fn new_run() -> Run {
    // A clock before 1970 gives a low run, which a registry that knows a higher one refuses with a reason.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Run::new(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX), fastrand::u64(..))
}

fn random_id() -> Result<InstanceId, Error> {
    Ok(format!("{:016x}", fastrand::u64(..)).parse()?)
}
