//! A file as a tree, and how serde reads it. Whether the tree has the right shape is found out before, in `shape`,
//! where all that is wrong can be told; the errors here are never seen.

use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IntoDeserializer, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::spot::{Place, SPOT};

/// A value of the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Nothing,
    /// Text, or a number or a truth value: what it is decides who reads it.
    Scalar(String),
    List(Vec<Node>),
    /// Keys are scalars, no two of them alike.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text) => Some(text),
            _ => None,
        }
    }

    fn parse<T: std::str::FromStr>(&self) -> Result<T, Error> {
        let parsed = self.text().and_then(|text| text.parse().ok());
        parsed.ok_or_else(|| Error::custom("another type"))
    }
}

impl<'n> IntoDeserializer<'n, Error> for &'n Node {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

/// The parts of a [`Spot`](super::spot::Spot): the numbers of its place, then its value.
struct Parts<'n> {
    numbers: std::array::IntoIter<u32, 3>,
    value: Option<&'n Node>,
}

impl<'n> SeqAccess<'n> for Parts<'n> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'n>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if let Some(number) = self.numbers.next() {
            return seed.deserialize(number.into_deserializer()).map(Some);
        }
        self.value.take().map(|node| seed.deserialize(node)).transpose()
    }
}

macro_rules! numbers {
    ($($method:ident, $visit:ident;)+) => {
        $(fn $method<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.parse()?)
        })+
    };
}

impl<'n> Deserializer<'n> for &'n Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Nothing => visitor.visit_unit(),
            Kind::Scalar(text) => visitor.visit_str(text),
            Kind::List(nodes) => visitor.visit_seq(SeqDeserializer::new(nodes.iter())),
            Kind::Map(entries) => {
                visitor.visit_map(MapDeserializer::new(entries.iter().map(|(key, value)| (key, value))))
            }
        }
    }

    numbers! {
        deserialize_bool, visit_bool;
        deserialize_u8, visit_u8;
        deserialize_u16, visit_u16;
        deserialize_u32, visit_u32;
        deserialize_u64, visit_u64;
    }

    fn deserialize_option<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.kind {
            Kind::Nothing => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// One value is a list of one.
    fn deserialize_seq<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::List(_) => self.deserialize_any(visitor),
            _ => visitor.visit_seq(SeqDeserializer::new(std::iter::once(self))),
        }
    }

    /// A scalar is the first field.
    fn deserialize_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match (&self.kind, fields) {
            (Kind::Scalar(_), [first, ..]) => {
                visitor.visit_map(MapDeserializer::new(std::iter::once((*first, self))))
            }
            // An empty file says nothing, which is not wrong.
            (Kind::Nothing, _) => {
                visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&'n Node, &'n Node)>()))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'n>>(
        self,
        name: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name != SPOT {
            return self.deserialize_seq(visitor);
        }
        let Place { line, column, width } = self.place;
        visitor.visit_seq(Parts { numbers: [line, column, width].into_iter(), value: Some(self) })
    }

    fn deserialize_newtype_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'n>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.text().unwrap_or_default().into_deserializer())
    }

    forward_to_deserialize_any! {
        <V: Visitor<'n>>
        i8 i16 i32 i64 f32 f64 char str string bytes byte_buf unit unit_struct tuple map identifier ignored_any
    }
}
