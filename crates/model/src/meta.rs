use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

/// What an owner tells of its instance: strings by name, in order.
///
/// An instance is kept by the hundred thousand, and most have a pair or two: a map of nodes would cost more than all
/// the rest of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<String, String>")]
pub struct Meta {
    // Sorted by name; each name once.
    pairs: Box<[(Box<str>, Box<str>)]>,
}

impl Meta {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = self.pairs.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok()?;
        Some(&self.pairs[place].1)
    }

    /// All names and values, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Whether nothing is told.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl From<BTreeMap<String, String>> for Meta {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self { pairs: map.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

impl From<&Meta> for BTreeMap<String, String> {
    fn from(meta: &Meta) -> Self {
        meta.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl Serialize for Meta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
