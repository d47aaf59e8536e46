//! Which members are endpoints of which backends: the sets that workers choose from, laid out anew where they
//! changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use berth_model::{Identity, Instance, Invalid, ServiceName};
use berth_pick::Roster;
use berth_route::Rule;

use super::complaint::Complaint;
use super::draft::{Draft, about, follow, heirs, nobody};
use super::members::Member;
use super::published::{About, Lasting, LiveBackend};
use super::{Plan, SourceId};
use crate::routing::{Backend, Capacity, Choosing, Instances, PublicUrl};

/// The key of an instance's meta that says where clients reach it without us.
const PUBLIC_URL: &str = "public_url";

/// The backends of one plan, and those of the routes that instances advertise.
#[derive(Debug)]
pub(super) struct Backends {
    plan: Plan,
    /// The operator's, in the order of the plan.
    planned: Vec<Arc<LiveBackend>>,
    /// By the rule that is advertised.
    advertised: BTreeMap<String, Advertised>,
    /// Backends that want instances of this service.
    by_service: HashMap<ServiceName, Vec<usize>>,
    /// Backends that want all instances without routes.
    open: Vec<usize>,
    /// Which server of which backend a source stands for.
    by_server: HashMap<SourceId, Vec<(usize, usize)>>,
    /// Where the turns of new backends begin.
    entropy: u64,
    /// Whether the plan is new since the sets were laid out.
    is_replanned: bool,
    /// What is wrong with what instances say, as it was at the last look. Each is told when it begins.
    complaints: BTreeSet<Complaint>,
}

#[derive(Debug)]
struct Advertised {
    rule: Rule,
    backend: Arc<LiveBackend>,
}

/// What an instance wants to serve.
struct Wishes {
    /// Whatever nobody else gets: it says nothing else, or just that where no operator has said who does.
    all: bool,
    /// Its routes.
    rules: Vec<Rule>,
}

/// A backend that wants an instance.
struct Wanted {
    place: usize,
    weight: u16,
    /// Where clients reach it without us.
    public: Option<PublicUrl>,
}

impl Backends {
    pub(super) fn new(plan: Plan, entropy: u64) -> Self {
        let mut backends = Self {
            plan,
            planned: Vec::new(),
            advertised: BTreeMap::new(),
            by_service: HashMap::new(),
            open: Vec::new(),
            by_server: HashMap::new(),
            entropy,
            is_replanned: true,
            complaints: BTreeSet::new(),
        };
        backends.index(&HashMap::new());
        backends
    }

    /// Goes by another plan from now on. Backends of the same name keep their turn and their totals.
    pub(super) fn follow(&mut self, plan: Plan) {
        let before = std::mem::take(&mut self.planned);
        let routing = std::mem::replace(&mut self.plan, plan).routing;
        let mut known: HashMap<&str, &Arc<LiveBackend>> =
            before.iter().map(|backend| (backend.lasting.name.as_str(), backend)).collect();
        let next = Arc::clone(&self.plan.routing);
        known.extend(heirs(&routing.backends, &before, &next.backends));
        self.index(&known);
        let is_kept =
            |places| self.planned.iter().any(|planned| Arc::ptr_eq(&planned.lasting.places, places));
        let limited = before.iter().filter(|backend| backend.is_limited);
        limited.map(|gone| &gone.lasting.places).filter(|places| !is_kept(places)).for_each(|it| it.close());
        self.is_replanned = true;
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    fn index(&mut self, known: &HashMap<&str, &Arc<LiveBackend>>) {
        self.by_service.clear();
        self.open.clear();
        self.by_server.clear();
        let sources: HashMap<_, SourceId> =
            self.plan.servers.iter().map(|(id, upstream)| (upstream, *id)).collect();
        for (place, backend) in self.plan.routing.backends.iter().enumerate() {
            match &backend.instances {
                Instances::None => {}
                Instances::Query(query) => {
                    self.by_service.entry(query.service.clone()).or_default().push(place);
                }
                Instances::WithoutRoutes => self.open.push(place),
            }
            for (server, source) in backend.servers.iter().enumerate() {
                if let Some(source) = sources.get(&source.upstream) {
                    self.by_server.entry(*source).or_default().push((place, server));
                }
            }
            let entropy = self.entropy.wrapping_add(place as u64);
            let before = known.get(backend.name.as_str()).copied();
            let lasting = self.lasting_of(backend, before);
            self.planned.push(match before {
                Some(before) => follow(before, backend, &lasting, entropy),
                None => nobody(about(backend), &backend.choosing, lasting, entropy),
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
        let shared = shared.and_then(|name| self.planned.iter().find(|it| it.lasting.name == *name));
        match shared.map(|shared| &shared.lasting) {
            Some(shared) if Arc::ptr_eq(&own.places, &shared.places) => own,
            Some(shared) => Arc::new(own.sharing(shared)),
            None if own.is_shared => Arc::new(own.apart()),
            None => own,
        }
    }

    /// Lays out all sets. Members that no backend wants are taken out of the list. True if there are other
    /// advertised routes than before.
    ///
    /// Endpoints that are new join at this time; those that were there when it began have none.
    pub(super) fn lay_out(
        &mut self,
        members: &mut BTreeMap<Identity, Member>,
        roster: &mut Roster,
        now_ms: Option<u64>,
    ) -> bool {
        let mut drafts: Vec<Draft> = self.planned.iter().map(|_| Draft::default()).collect();
        let mut claims: BTreeMap<String, (Rule, BTreeSet<ServiceName>, Draft)> = BTreeMap::new();
        let mut complaints = BTreeSet::new();
        members.retain(|identity, member| {
            let instance = &member.instance;
            let public = public_url(instance, &mut complaints);
            let mut wanted = Vec::new();
            let wishes = self.wishes_of(instance, &mut complaints);
            self.places(instance, &member.sources, wishes.all, public.as_ref(), &mut wanted);
            if wanted.is_empty() && wishes.rules.is_empty() {
                return false;
            }
            let source = member.sources.first();
            let name = source.and_then(|source| self.plan.servers.get(source)?.authority());
            // Made for whoever drains as well: its load goes on.
            let endpoint = roster.endpoint(identity, name.as_deref(), now_ms);
            for rule in wishes.rules {
                let claim = claims.entry(rule.to_string());
                let (_, services, draft) = claim.or_insert_with(|| (rule, BTreeSet::new(), Draft::default()));
                services.insert(instance.service.clone());
                if !member.draining {
                    draft.add(&endpoint, instance.weight, public.clone());
                }
            }
            if !member.draining {
                for Wanted { place, weight, public } in wanted {
                    drafts[place].add(&endpoint, weight, public);
                }
            }
            true
        });
        let is_replanned = std::mem::take(&mut self.is_replanned);
        for (planned, draft) in self.planned.iter_mut().zip(drafts) {
            let next = draft.follow(planned);
            // With the endpoints and the limits of one plan at once: in between nobody is let through.
            if is_replanned || !Arc::ptr_eq(planned, &next) {
                next.admit();
            }
            *planned = next;
        }
        let changed = self.advertise(claims, &mut complaints);
        complaints.difference(&self.complaints).for_each(Complaint::tell);
        self.complaints = complaints;
        changed
    }

    fn advertise(
        &mut self,
        claims: BTreeMap<String, (Rule, BTreeSet<ServiceName>, Draft)>,
        complaints: &mut BTreeSet<Complaint>,
    ) -> bool {
        let changed = !claims.keys().eq(self.advertised.keys());
        let mut before = std::mem::take(&mut self.advertised);
        for (key, (rule, services, draft)) in claims {
            if services.len() > 1 {
                let services: Vec<&str> = services.iter().map(ServiceName::as_str).collect();
                complaints.insert(Complaint::Contested { route: key.clone(), services: services.join(", ") });
            }
            let subject = format!("the route {key}");
            let known = before.remove(&key).map(|known| known.backend);
            let about = About { subject: subject.into(), capacity: Capacity::default() };
            let known = known.unwrap_or_else(|| {
                nobody(about, &Choosing::default(), Arc::new(Lasting::new(&key)), self.entropy)
            });
            self.advertised.insert(key, Advertised { rule, backend: draft.follow(&known) });
        }
        changed
    }

    /// The backends that want an instance.
    fn places(
        &self,
        instance: &Instance,
        sources: &[SourceId],
        wants_all: bool,
        public: Option<&PublicUrl>,
        wanted: &mut Vec<Wanted>,
    ) {
        for (place, server) in sources.iter().filter_map(|source| self.by_server.get(source)).flatten() {
            // Two names of one server are one endpoint.
            if wanted.iter().all(|known| known.place != *place) {
                let server = &self.plan.routing.backends[*place].servers[*server];
                let public = server.public_url.clone();
                wanted.push(Wanted { place: *place, weight: server.weight, public });
            }
        }
        if instance.run == berth_model::Run::STATIC {
            return;
        }
        let as_registered =
            |place: &usize| Wanted { place: *place, weight: instance.weight, public: public.cloned() };
        for place in self.by_service.get(&instance.service).into_iter().flatten() {
            if let Instances::Query(query) = &self.plan.routing.backends[*place].instances
                && query.matches(instance)
            {
                wanted.push(as_registered(place));
            }
        }
        if wants_all && !instance.service.is_internal() {
            wanted.extend(self.open.iter().map(as_registered));
        }
    }

    /// What an instance may have of what it wants.
    fn wishes_of(&self, instance: &Instance, complaints: &mut BTreeSet<Complaint>) -> Wishes {
        let mut wishes = Wishes { all: instance.routes.is_empty(), rules: Vec::new() };
        if !self.plan.routing.advertised_routes || instance.service.is_internal() {
            return wishes;
        }
        let name = || instance.identity().to_string();
        for text in &instance.routes {
            match Rule::advertised(text) {
                Ok(rule) if rule.is_any() && self.plan.has_fallback() => {
                    wishes.all = self.is_open();
                    if !wishes.all {
                        complaints.insert(Complaint::Taken { instance: name() });
                    }
                }
                Ok(rule) if wishes.rules.contains(&rule) => {}
                Ok(rule) => wishes.rules.push(rule),
                Err(problem) => {
                    complaints
                        .insert(Complaint::Unreadable { instance: name(), problem: problem.to_string() });
                }
            }
        }
        wishes
    }

    /// The rules of the advertised routes, in the order of their backends.
    pub(super) fn advertised_rules(&self) -> Vec<Rule> {
        self.advertised.values().map(|advertised| advertised.rule.clone()).collect()
    }

    /// All backends: the operator's, then those of the advertised routes.
    pub(super) fn all(&self) -> Vec<Arc<LiveBackend>> {
        let advertised = self.advertised.values().map(|advertised| &advertised.backend);
        self.planned.iter().chain(advertised).cloned().collect()
    }

    /// Whether a backend takes instances of every name.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }
}

/// Where clients reach an instance without us, if it says so.
fn public_url(instance: &Instance, complaints: &mut BTreeSet<Complaint>) -> Option<PublicUrl> {
    let parsed = instance.meta.get(PUBLIC_URL)?.parse();
    let unreadable = |problem: Invalid| {
        let instance = instance.identity().to_string();
        complaints.insert(Complaint::Private { instance, problem: problem.to_string() });
    };
    parsed.map_err(unreadable).ok()
}
