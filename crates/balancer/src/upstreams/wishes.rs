//! Which backends want an instance, by the plan and by what the instance says of itself.

use std::collections::{BTreeSet, HashMap};

use berth_model::{Instance, Invalid, Run, ServiceName};
use berth_route::Rule;

use super::Plan;
use super::complaint::Complaint;
use crate::routing::{Instances, PublicUrl};
use berth_fleet::SourceId;

/// The key of an instance's meta that says where clients reach it without us.
const PUBLIC_URL: &str = "public_url";

/// A plan, by what instances are looked up by.
#[derive(Debug)]
pub(super) struct Wishes {
    pub(super) plan: Plan,
    /// Backends that want instances of this service.
    by_service: HashMap<ServiceName, Vec<usize>>,
    /// Backends that want all instances without routes.
    open: Vec<usize>,
    /// Which server of which backend a source stands for.
    by_server: HashMap<SourceId, Vec<(usize, usize)>>,
}

/// A backend that wants an instance.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) spot: Spot,
    pub(super) weight: u16,
    /// Where clients reach it without us.
    pub(super) public: Option<PublicUrl>,
}

/// Where an instance is wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spot {
    /// In a backend of the plan, by its place.
    Planned(usize),
    /// In the backend of a route that it advertises, by the route's rule.
    Advertised(String),
}

impl Wishes {
    pub(super) fn of(plan: Plan) -> Self {
        let mut wishes =
            Self { plan, by_service: HashMap::new(), open: Vec::new(), by_server: HashMap::new() };
        let sources: HashMap<_, SourceId> =
            wishes.plan.servers.iter().map(|(id, upstream)| (upstream, *id)).collect();
        for (place, backend) in wishes.plan.routing.backends.iter().enumerate() {
            match &backend.instances {
                Instances::None => {}
                Instances::Query(query) => {
                    wishes.by_service.entry(query.service.clone()).or_default().push(place);
                }
                Instances::WithoutRoutes => wishes.open.push(place),
            }
            for (server, source) in backend.servers.iter().enumerate() {
                if let Some(source) = sources.get(&source.upstream) {
                    wishes.by_server.entry(*source).or_default().push((place, server));
                }
            }
        }
        wishes
    }

    /// Whether a backend takes instances of every name.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Where an instance is wanted that these sources list, and the rules of the routes that it advertises, in that
    /// order. What does not work out goes to `complaints`.
    pub(super) fn on(
        &self,
        instance: &Instance,
        sources: &[SourceId],
        complaints: &mut BTreeSet<Complaint>,
    ) -> (Vec<Wanted>, Vec<Rule>) {
        let mut wanted = Vec::new();
        if instance.run == Run::STATIC {
            self.add_servers(sources, &mut wanted);
            return (wanted, Vec::new());
        }
        let public = public_url(instance, complaints);
        let (wants_all, rules) = self.claims_of(instance, complaints);
        let as_registered = |spot| Wanted { spot, weight: instance.weight, public: public.clone() };
        for place in self.by_service.get(&instance.service).into_iter().flatten() {
            if let Instances::Query(query) = &self.plan.routing.backends[*place].instances
                && query.matches(instance)
            {
                wanted.push(as_registered(Spot::Planned(*place)));
            }
        }
        if wants_all && !instance.service.is_internal() {
            wanted.extend(self.open.iter().map(|place| as_registered(Spot::Planned(*place))));
        }
        wanted.extend(rules.iter().map(|rule| as_registered(Spot::Advertised(rule.to_string()))));
        (wanted, rules)
    }

    fn add_servers(&self, sources: &[SourceId], wanted: &mut Vec<Wanted>) {
        for (place, server) in sources.iter().filter_map(|source| self.by_server.get(source)).flatten() {
            let spot = Spot::Planned(*place);
            // Two names of one server are one endpoint.
            if wanted.iter().all(|known| known.spot != spot) {
                let server = &self.plan.routing.backends[*place].servers[*server];
                wanted.push(Wanted { spot, weight: server.weight, public: server.public_url.clone() });
            }
        }
    }

    /// Whether an instance serves whatever nobody else gets: it says nothing else, or just that where no operator has
    /// said who does. And the routes that it may have of those that it wants.
    fn claims_of(&self, instance: &Instance, complaints: &mut BTreeSet<Complaint>) -> (bool, Vec<Rule>) {
        let (mut all, mut rules) = (instance.routes.is_empty(), Vec::new());
        if !self.plan.routing.advertised_routes || instance.service.is_internal() {
            return (all, rules);
        }
        let name = || instance.identity().to_string();
        for text in &instance.routes {
            match Rule::advertised(text) {
                Ok(rule) if rule.is_any() && self.plan.has_fallback() => {
                    all = self.is_open();
                    if !all {
                        complaints.insert(Complaint::Taken { instance: name() });
                    }
                }
                Ok(rule) if rules.contains(&rule) => {}
                Ok(rule) => rules.push(rule),
                Err(problem) => {
                    complaints
                        .insert(Complaint::Unreadable { instance: name(), problem: problem.to_string() });
                }
            }
        }
        (all, rules)
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
