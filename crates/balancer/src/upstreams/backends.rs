//! Which endpoints are in which backends: the sets that workers choose from, laid out anew where something changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use berth_fleet::{Check, CheckId, Fleet, Group, Membership, SourceId};
use berth_model::{Identity, Instance, Run, Scheme, ServiceName};
use berth_pick::{Endpoint, Roster};
use berth_route::Rule;

use super::Plan;
use super::complaint::Complaint;
use super::departed::Departed;
use super::entries::{Entries, Entry};
use super::published::{About, Lasting, LiveBackend};
use super::succession::{about, follow, heirs, nobody};
use super::wishes::{Spot, Wanted, Wishes};
use crate::routing::{Backend, Capacity, Choosing, Health, ProbeKind};

/// The backends of one plan, and those of the routes that instances advertise.
#[derive(Debug)]
pub(super) struct Backends {
    wishes: Wishes,
    /// The operator's, in the order of the plan.
    planned: Vec<Planned>,
    /// By the rule that is advertised.
    advertised: BTreeMap<String, Advertised>,
    /// Everybody who is wanted somewhere.
    known: HashMap<Identity, Known>,
    roster: Roster,
    departed: Departed,
    /// What operators want to know of endpoints.
    checks: Checks,
    /// Backends of which something has changed since they were laid out.
    stale: BTreeSet<Spot>,
    /// Whether there are other advertised routes than when they were asked for last.
    rules_changed: bool,
    /// Where the turns of new backends begin.
    entropy: u64,
    /// Whether the plan is new since the sets were laid out.
    is_replanned: bool,
}

#[derive(Debug)]
struct Planned {
    group: Group,
    /// How its endpoints are looked at.
    health: Arc<Health>,
    check: Option<(CheckId, Check)>,
    entries: Entries,
    live: Arc<LiveBackend>,
}

#[derive(Debug)]
struct Advertised {
    rule: Rule,
    group: Group,
    entries: Entries,
    live: Arc<LiveBackend>,
    /// The services that want it, if there are several.
    contested: Option<String>,
}

/// Somebody who is wanted.
#[derive(Debug)]
struct Known {
    instance: Arc<Instance>,
    /// Of a server that is named: by whom.
    sources: Vec<SourceId>,
    /// None yet under a plan that is new.
    spots: Vec<Spot>,
    complaints: BTreeSet<Complaint>,
}

/// What became of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Updated {
    /// It is wanted as it was, or not as it was not.
    Stays,
    /// It is wanted from now on.
    Joined,
    /// It was wanted, and is gone or not wanted any more.
    Left,
}

/// The checks of all plans, each with its number.
#[derive(Debug, Default)]
struct Checks {
    numbers: HashMap<Arc<Health>, CheckId>,
    newest: CheckId,
}

impl Checks {
    /// The number of a check, if it is one.
    fn number(&mut self, health: &Health) -> Option<(CheckId, Check)> {
        let check = health.check?;
        let number = self.numbers.get(health).copied().unwrap_or_else(|| {
            self.newest += 1;
            self.numbers.insert(Arc::new(health.clone()), self.newest);
            self.newest
        });
        Some((number, check))
    }

    fn health(&self, number: CheckId) -> Option<&Arc<Health>> {
        self.numbers.iter().find(|(_, known)| **known == number).map(|(health, _)| health)
    }
}

impl Backends {
    pub(super) fn new(plan: Plan, entropy: u64) -> Self {
        let mut backends = Self {
            wishes: Wishes::of(plan),
            planned: Vec::new(),
            advertised: BTreeMap::new(),
            known: HashMap::new(),
            roster: Roster::default(),
            departed: Departed::default(),
            checks: Checks::default(),
            stale: BTreeSet::new(),
            rules_changed: false,
            entropy,
            is_replanned: true,
        };
        backends.plan_backends(&HashMap::new());
        backends
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.wishes.plan
    }

    /// Whether a backend takes instances of every name.
    pub(super) fn is_open(&self) -> bool {
        self.wishes.is_open()
    }

    /// Goes by another plan from now on: everybody has to be taken in again. Backends of the same name keep their turn
    /// and their totals.
    pub(super) fn follow(&mut self, plan: Plan) {
        let planned = std::mem::take(&mut self.planned);
        let before: Vec<Arc<LiveBackend>> = planned.into_iter().map(|planned| planned.live).collect();
        let routing = std::mem::replace(&mut self.wishes, Wishes::of(plan)).plan.routing;
        let mut known: HashMap<&str, &Arc<LiveBackend>> =
            before.iter().map(|backend| (backend.lasting.name.as_str(), backend)).collect();
        let next = Arc::clone(&self.plan().routing);
        known.extend(heirs(&routing.backends, &before, &next.backends));
        self.plan_backends(&known);
        let is_kept = |places| self.planned.iter().any(|it| Arc::ptr_eq(&it.live.lasting.places, places));
        let limited = before.iter().filter(|backend| backend.is_limited);
        limited.map(|gone| &gone.lasting.places).filter(|places| !is_kept(places)).for_each(|it| it.close());
        let healths: BTreeSet<CheckId> = self.planned.iter().filter_map(|it| Some(it.check?.0)).collect();
        self.checks.numbers.retain(|_, number| healths.contains(number));
        self.is_replanned = true;
        // Spots are others now; what was complained of has been told.
        self.known.values_mut().for_each(|known| known.spots.clear());
        self.advertised.values_mut().for_each(|advertised| advertised.entries = Entries::default());
        self.stale = (0..self.planned.len()).map(Spot::Planned).collect();
        self.stale.extend(self.advertised.keys().cloned().map(Spot::Advertised));
    }

    fn plan_backends(&mut self, known: &HashMap<&str, &Arc<LiveBackend>>) {
        let routing = Arc::clone(&self.plan().routing);
        for (place, backend) in routing.backends.iter().enumerate() {
            let entropy = self.entropy.wrapping_add(place as u64);
            let before = known.get(backend.name.as_str()).copied();
            let lasting = self.lasting_of(backend, before);
            let live = match before {
                Some(before) => follow(before, backend, &lasting, entropy),
                None => nobody(about(backend), &backend.choosing, lasting, entropy),
            };
            self.planned.push(Planned {
                group: backend.name.as_str().into(),
                health: Arc::new(backend.health.clone()),
                check: self.checks.number(&backend.health),
                entries: Entries::default(),
                live,
            });
        }
    }

    /// What a backend keeps from before, with the places of the one that it shares them with.
    fn lasting_of(&self, backend: &Backend, before: Option<&Arc<LiveBackend>>) -> Arc<Lasting> {
        let own = before.map(|before| &before.lasting);
        let own = match own {
            None => Arc::new(Lasting::new(&backend.name)),
            Some(own) if own.name == backend.name => Arc::clone(own),
            Some(other) => Arc::new(other.renamed(&backend.name)),
        };
        // It stands in front of those that share with it.
        let shared = backend.shares_with.as_deref();
        let shared = shared.and_then(|name| self.planned.iter().find(|it| it.live.lasting.name == *name));
        match shared.map(|shared| &shared.live.lasting) {
            Some(shared) if Arc::ptr_eq(&own.places, &shared.places) => own,
            Some(shared) => Arc::new(own.sharing(shared)),
            None if own.is_shared => Arc::new(own.apart()),
            None => own,
        }
    }

    /// Takes in what is believed of somebody now. An endpoint that is new joins at this time; those that were there when
    /// it began have none.
    pub(super) fn update(
        &mut self,
        fleet: &mut Fleet,
        now: Duration,
        identity: &Identity,
        joined_ms: Option<u64>,
    ) -> Updated {
        let Some(member) = fleet.member(identity) else { return self.remove(identity) };
        let instance = Arc::clone(member.instance);
        let sources: Vec<SourceId> = match instance.run {
            Run::STATIC => fleet.listing(identity).collect(),
            _ => Vec::new(),
        };
        let known = self.known.get(identity).filter(|known| !known.spots.is_empty());
        if known.is_some_and(|known| known.sources == sources && *known.instance == *instance) {
            self.classify(fleet, identity);
            return Updated::Stays;
        }
        let mut complaints = BTreeSet::new();
        let (wanted, rules) = self.wishes.on(&instance, &sources, &mut complaints);
        let known = self.known.remove(identity);
        let told = known.as_ref().map(|known| &known.complaints);
        complaints.iter().filter(|it| told.is_none_or(|told| !told.contains(it))).for_each(Complaint::tell);
        let spots: Vec<Spot> = wanted.iter().map(|it| it.spot.clone()).collect();
        let before = known.as_ref().map_or(&[][..], |known| &known.spots);
        for left in before.iter().filter(|spot| !spots.contains(spot)) {
            self.leave(identity, left);
        }
        if wanted.is_empty() {
            if known.is_some() {
                let endpoint = self.roster.endpoint(identity, None, None);
                fleet.place(now, identity, &endpoint, Vec::new());
                self.departed.note(Some(&endpoint));
            }
            return if known.is_some() { Updated::Left } else { Updated::Stays };
        }
        rules.into_iter().for_each(|rule| self.advertise(rule));
        let endpoint = self.endpoint_of(identity, &sources, joined_ms);
        let memberships = spots.iter().filter_map(|spot| self.membership(spot)).collect();
        fleet.place(now, identity, &endpoint, memberships);
        for (Wanted { spot, weight, public }, class) in wanted.into_iter().zip(fleet.classes(identity)) {
            let entry = Entry { endpoint: Arc::clone(&endpoint), weight, public, class: *class };
            if self.entries(&spot).is_some_and(|entries| entries.put(identity, entry)) {
                self.stale.insert(spot);
            }
        }
        self.known.insert(identity.clone(), Known { instance, sources, spots, complaints });
        if known.is_some() { Updated::Stays } else { Updated::Joined }
    }

    fn endpoint_of(
        &mut self,
        identity: &Identity,
        sources: &[SourceId],
        joined_ms: Option<u64>,
    ) -> Arc<Endpoint> {
        if identity.scheme == Scheme::Https {
            self.plan().general.tls.prepare();
        }
        let server = sources.first().and_then(|source| self.plan().servers.get(source)?.authority());
        let endpoint = self.roster.endpoint(identity, server.as_deref(), joined_ms);
        endpoint.signals().leave(false);
        endpoint
    }

    pub(super) fn departed(&mut self) -> &mut Departed {
        &mut self.departed
    }

    /// Whether a backend has nobody to serve although somebody may be about to.
    pub(super) fn awaits_somebody(&self) -> bool {
        let advertised = self.advertised.values().map(|it| (&it.entries, &it.live));
        let mut all = self.planned.iter().map(|it| (&it.entries, &it.live)).chain(advertised);
        all.any(|(entries, live)| !entries.is_empty() && live.set.is_empty())
    }

    /// Whether something has changed since the sets were laid out.
    pub(super) fn is_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    /// Whether somebody is wanted anywhere.
    pub(super) fn wants(&self, identity: &Identity) -> bool {
        self.known.contains_key(identity)
    }

    fn classify(&mut self, fleet: &Fleet, identity: &Identity) {
        let Some(spots) = self.known.get(identity).map(|known| known.spots.clone()) else { return };
        for (spot, class) in spots.into_iter().zip(fleet.classes(identity)) {
            if self.entries(&spot).is_some_and(|entries| entries.classify(identity, *class)) {
                self.stale.insert(spot);
            }
        }
    }

    fn remove(&mut self, identity: &Identity) -> Updated {
        let Some(known) = self.known.remove(identity) else { return Updated::Stays };
        for spot in known.spots {
            self.leave(identity, &spot);
        }
        self.departed.note(self.roster.known(identity));
        Updated::Left
    }

    fn leave(&mut self, identity: &Identity, spot: &Spot) {
        if let Some(entries) = self.entries(spot) {
            entries.remove(identity);
            self.stale.insert(spot.clone());
        }
    }

    fn entries(&mut self, spot: &Spot) -> Option<&mut Entries> {
        match spot {
            Spot::Planned(place) => self.planned.get_mut(*place).map(|planned| &mut planned.entries),
            Spot::Advertised(rule) => self.advertised.get_mut(rule).map(|advertised| &mut advertised.entries),
        }
    }

    fn membership(&self, spot: &Spot) -> Option<Membership> {
        let (group, check) = match spot {
            Spot::Planned(place) => self.planned.get(*place).map(|it| (&it.group, it.check))?,
            Spot::Advertised(rule) => self.advertised.get(rule).map(|it| (&it.group, None))?,
        };
        Some(Membership { group: Arc::clone(group), check })
    }

    fn advertise(&mut self, rule: Rule) {
        let key = rule.to_string();
        if self.advertised.contains_key(&key) {
            return;
        }
        let about = About { subject: format!("the route {key}").into(), capacity: Capacity::default() };
        let live = nobody(about, &Choosing::default(), Arc::new(Lasting::new(&key)), self.entropy);
        // The operator may have a backend of that name.
        let group = format!("advertised {key}").into();
        let advertised = Advertised { rule, group, entries: Entries::default(), live, contested: None };
        self.advertised.insert(key, advertised);
        self.rules_changed = true;
    }

    /// Lays out anew what is stale. True if anything was.
    pub(super) fn lay_out(&mut self, fleet: &Fleet) -> bool {
        let is_replanned = std::mem::take(&mut self.is_replanned);
        let stale = std::mem::take(&mut self.stale);
        let mut changed = is_replanned;
        for spot in &stale {
            match spot {
                Spot::Planned(place) => {
                    let Some(planned) = self.planned.get_mut(*place) else { continue };
                    let next =
                        planned.entries.lay_out(fleet.tier(&planned.group), &planned.live, is_replanned);
                    // With the endpoints and the limits of one plan at once: in between nobody is let through.
                    let is_next = !Arc::ptr_eq(&planned.live, &next);
                    if is_replanned || is_next {
                        next.admit();
                    }
                    changed |= is_next;
                    planned.live = next;
                }
                Spot::Advertised(rule) => changed |= self.lay_out_advertised(fleet, rule, is_replanned),
            }
        }
        let (known, roster) = (&self.known, &mut self.roster);
        self.departed.retain(|endpoint| {
            let identity = endpoint.identity();
            !known.contains_key(identity) && !roster.forget(identity)
        });
        changed
    }

    fn lay_out_advertised(&mut self, fleet: &Fleet, rule: &str, is_replanned: bool) -> bool {
        let Some(advertised) = self.advertised.get_mut(rule) else { return false };
        if advertised.entries.is_empty() {
            self.advertised.remove(rule);
            self.rules_changed = true;
            return true;
        }
        let services = advertised.entries.services();
        let contested = (services.len() > 1)
            .then(|| services.into_iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", "));
        if contested != advertised.contested
            && let Some(services) = &contested
        {
            Complaint::Contested { route: rule.to_owned(), services: services.clone() }.tell();
        }
        advertised.contested = contested;
        let next = advertised.entries.lay_out(fleet.tier(&advertised.group), &advertised.live, is_replanned);
        let before = std::mem::replace(&mut advertised.live, next);
        !Arc::ptr_eq(&before, &advertised.live)
    }

    /// Whether there are other advertised routes than when this was asked last.
    pub(super) fn take_rules_changed(&mut self) -> bool {
        std::mem::take(&mut self.rules_changed)
    }

    /// The rules of the advertised routes, in the order of their backends.
    pub(super) fn advertised_rules(&self) -> Vec<Rule> {
        self.advertised.values().map(|advertised| advertised.rule.clone()).collect()
    }

    /// All backends: the operator's, then those of the advertised routes.
    pub(super) fn all(&self) -> Vec<Arc<LiveBackend>> {
        let advertised = self.advertised.values().map(|advertised| &advertised.live);
        self.planned.iter().map(|planned| &planned.live).chain(advertised).cloned().collect()
    }

    /// The services of those who serve whatever nobody else gets.
    pub(super) fn open_services(&self) -> BTreeSet<&str> {
        let open = self.known.values().filter(|known| known.instance.routes.is_empty());
        open.map(|known| known.instance.service.as_str()).collect()
    }

    /// How an endpoint is probed: for this check, or to see whether it lives.
    pub(super) fn health(&self, endpoint: &Endpoint, check: Option<CheckId>) -> Arc<Health> {
        if let Some(health) = check.and_then(|number| self.checks.health(number)) {
            return Arc::clone(health);
        }
        let spots = self.known.get(endpoint.identity()).map_or(&[][..], |known| &known.spots);
        let asked_for = spots.iter().filter_map(|spot| {
            let Spot::Planned(place) = spot else { return None };
            self.planned.get(*place).map(|planned| &planned.health)
        });
        // A path says more than the root, and an answer more than a connection.
        let asked_for = asked_for.min_by_key(|health| match health.probe {
            ProbeKind::Get { .. } => 0,
            ProbeKind::Head => 1,
            ProbeKind::Connect => 2,
        });
        asked_for.cloned().unwrap_or_default()
    }

    /// The names of the backends that somebody is in, and its endpoint.
    pub(super) fn backends_of(&self, identity: &Identity) -> Vec<&str> {
        let spots = self.known.get(identity).map_or(&[][..], |known| &known.spots);
        spots
            .iter()
            .filter_map(|spot| match spot {
                Spot::Planned(place) => self.planned.get(*place).map(|it| it.live.lasting.name.as_str()),
                Spot::Advertised(rule) => Some(rule.as_str()),
            })
            .collect()
    }

    /// Everybody who is wanted.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Identity> {
        self.known.keys()
    }

    /// The endpoint of somebody who is wanted.
    pub(super) fn endpoint(&self, identity: &Identity) -> Option<&Arc<Endpoint>> {
        self.roster.known(identity)
    }
}
