use rustc_hash::FxHashMap;

use crate::condition::Candidate;
use crate::host::{HOST_ROOM_BYTES, asked_name};
use crate::paths::{At, Paths};
use crate::{Asked, Rule};

/// Finds the most specific rule that a request fulfils.
///
/// Of two such rules, the first difference in this list decides:
///
/// 1. host: an exact one, then a wildcard with more labels, then one with fewer, then none;
/// 2. path: an exact one, then a prefix with more segments, then one with fewer;
/// 3. a rule with methods, then one without;
/// 4. more fields;
/// 5. more parameters of the query;
/// 6. the earlier one.
///
/// So a request that fails a rule's methods, fields or query falls back to the next rule in that order, be it of
/// another path or host.
///
/// A look-up allocates nothing. It costs a few probes of hash maps per segment and label, as deep as the patterns go,
/// however many rules there are; only rules that share host and path are tried one after the other.
#[derive(Clone, Debug, Default)]
pub struct Table {
    exact: FxHashMap<Box<[u8]>, At>,
    /// By what is behind the star and its dot.
    wildcards: FxHashMap<Box<[u8]>, At>,
    /// How many labels the longest wildcard has, without the star.
    most_labels: usize,
    no_host: Option<At>,
    paths: Paths,
}

impl Table {
    /// Lays out the rules; [`Self::find`] answers with their places.
    pub fn new(rules: &[Rule]) -> Self {
        let mut table = Self::default();
        for (place, rule) in rules.iter().enumerate() {
            let root = table.tree_of(rule);
            table.paths.insert(root, &rule.path, Candidate::new(place, rule));
        }
        table.paths.arrange();
        table
    }

    /// The place of the most specific rule that the request fulfils. `has_field` tells whether it carries a field of
    /// this name with this value.
    pub fn find(&self, asked: &Asked<'_>, has_field: impl Fn(&str, &str) -> bool) -> Option<usize> {
        let find = |root: At| {
            self.paths.find(root, asked.path, |candidate| candidate.is_fulfilled(asked, &has_field))
        };
        let mut room = [0; HOST_ROOM_BYTES];
        let has_hosts = !(self.exact.is_empty() && self.wildcards.is_empty());
        let name = asked.host.filter(|_| has_hosts).and_then(|host| asked_name(host, &mut room));
        let named = name.and_then(|name| {
            let exact = self.exact.get(name).copied();
            exact.and_then(find).or_else(|| self.trees_above(name).find_map(find))
        });
        named.or_else(|| self.no_host.and_then(find))
    }

    /// The trees of the wildcards that this name is below, the longest first.
    fn trees_above<'t>(&'t self, name: &'t [u8]) -> impl Iterator<Item = At> + 't {
        let is_dot = |byte: &u8| *byte == b'.';
        // The first dot has as many labels behind it as there are dots.
        let too_long = name.iter().filter(|byte| is_dot(byte)).count().saturating_sub(self.most_labels);
        let dots = name.iter().enumerate().filter(move |(_, byte)| is_dot(byte)).skip(too_long);
        // Without a name in front of the dot it is none below.
        let suffixes = dots.filter(|(at, _)| *at > 0).map(|(at, _)| &name[at + 1..]);
        suffixes.filter_map(|suffix| self.wildcards.get(suffix).copied())
    }

    fn tree_of(&mut self, rule: &Rule) -> At {
        let Some(host) = &rule.host else {
            return *self.no_host.get_or_insert_with(|| self.paths.plant());
        };
        let trees = if host.wildcard { &mut self.wildcards } else { &mut self.exact };
        if host.wildcard {
            self.most_labels = self.most_labels.max(host.labels());
        }
        *trees.entry(host.name.as_bytes().into()).or_insert_with(|| self.paths.plant())
    }
}
