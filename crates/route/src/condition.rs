use std::cmp::Reverse;

use crate::normal::encoded;
use crate::{Asked, Rule};

/// What a rule asks of a request besides host and path, and the rule's place.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) place: usize,
    /// None if it asks for nothing else, as most do.
    condition: Option<Box<Condition>>,
}

#[derive(Clone, Debug)]
struct Condition {
    methods: Vec<String>,
    fields: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

impl Candidate {
    pub(crate) fn new(place: usize, rule: &Rule) -> Self {
        let is_bare = rule.methods.is_empty() && rule.fields.is_empty() && rule.query.is_empty();
        let condition = (!is_bare).then(|| {
            let (methods, fields) = (rule.methods.clone(), rule.fields.clone());
            Box::new(Condition { methods, fields, query: rule.query.clone() })
        });
        Self { place, condition }
    }

    /// Sorts candidates of the same host and path: the most specific first.
    pub(crate) fn order(&self) -> impl Ord + use<> {
        let specific = |condition: &Condition| {
            (!condition.methods.is_empty(), condition.fields.len(), condition.query.len())
        };
        let specific = self.condition.as_deref().map(specific).unwrap_or_default();
        (Reverse(specific), self.place)
    }

    #[inline]
    pub(crate) fn is_fulfilled(&self, asked: &Asked<'_>, has_field: &impl Fn(&str, &str) -> bool) -> bool {
        self.condition.as_deref().is_none_or(|condition| condition.is_fulfilled(asked, has_field))
    }
}

impl Condition {
    fn is_fulfilled(&self, asked: &Asked<'_>, has_field: &impl Fn(&str, &str) -> bool) -> bool {
        let is_method = |method: &String| method.as_bytes() == asked.method;
        (self.methods.is_empty() || self.methods.iter().any(is_method))
            && self.fields.iter().all(|(name, value)| has_field(name, value))
            && self.query.iter().all(|(name, value)| carries(asked.query, name, value))
    }
}

/// Whether a query has this parameter, decoded, with this value; one of several by that name is enough.
fn carries(query: &[u8], name: &str, value: &str) -> bool {
    query.split(|byte| *byte == b'&').any(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=');
        let (its_name, its_value) = equals.map_or((pair, &pair[..0]), |at| (&pair[..at], &pair[at + 1..]));
        decoded(its_name).eq(name.bytes()) && decoded(its_value).eq(value.bytes())
    })
}

/// The bytes of a form's text (the URL standard's `application/x-www-form-urlencoded`): a plus is a space, and a `%`
/// that begins no encoding is itself.
fn decoded(mut text: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (first, rest) = text.split_first()?;
        let byte = if *first == b'%' { rest.get(..2).and_then(encoded) } else { None };
        text = if byte.is_some() { &rest[2..] } else { rest };
        Some(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }))
    })
}
