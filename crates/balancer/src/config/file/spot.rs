//! Values that know where they stand.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Under this name [`Spot`] asks the tree for the place of a value.
pub(super) const SPOT: &str = "$Spot";

/// Where something stands in a text; lines and columns count from 1, columns and width in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
    /// How much of the line it takes.
    pub width: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Spot<T> {
    pub(super) place: Place,
    pub(super) value: T,
}

impl<T> Deref for Spot<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spot<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple_struct(SPOT, 4, SpotVisitor(PhantomData))
    }
}

struct SpotVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SpotVisitor<T> {
    type Value = Spot<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with its place")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Spot<T>, A::Error> {
        let mut number = || parts.next_element()?.ok_or_else(|| A::Error::custom("no place"));
        let place = Place { line: number()?, column: number()?, width: number()? };
        let value = parts.next_element()?.ok_or_else(|| A::Error::custom("no value"))?;
        Ok(Spot { place, value })
    }
}

impl<T: JsonSchema> JsonSchema for Spot<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// A mapping whose keys are the operator's, in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct Named<T>(pub(super) Vec<(Spot<String>, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

struct NamedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
    type Value = Named<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Named<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            all.push(entry);
        }
        Ok(Named(all))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Named".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}

/// What kinds of text there are: only for the schema and for whoever reads it.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident, $words:literal, $schema:tt;)+) => {
        $(
            $(#[$doc])*
            pub(super) struct $name;

            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }
                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    let mut schema = json_schema!($schema);
                    schema.insert("x-kind".to_owned(), $words.into());
                    schema
                }
            }
        )+
    };
}

kinds! {
    /// `500ms`.
    Time, "time", { "type": "string", "examples": ["500ms", "10s", "1h"] };
    /// `64KiB`.
    Size, "size", { "type": ["string", "integer"], "examples": ["64KiB", "10MiB"] };
    /// `64KiB` or `none`.
    SizeOrNone, "size or `none`", { "type": ["string", "integer"], "examples": ["10MiB", "none"] };
    /// `8080`, `127.0.0.1:8080`.
    Address, "`[ADDR:]PORT`", { "type": ["string", "integer"], "examples": [8080, "127.0.0.1:8080"] };
    /// `localhost:9090`.
    HostAndPort, "`HOST:PORT`", { "type": "string", "examples": ["localhost:9090"] };
    /// `http://localhost:3000`.
    Url, "URL", { "type": "string", "examples": ["http://localhost:3000", "https://example.org"] };
    /// `web@1.x`.
    ServiceQuery, "query", { "type": "string", "examples": ["web", "web@1.x"] };
    /// `1.25`.
    Factor, "number", { "type": ["number", "string"], "examples": [1.25, 1.5] };
    /// `200-399`.
    Statuses, "status", { "type": ["string", "integer"], "examples": [200, "2xx", "200-399"] };
    /// `reset`.
    Cause, "cause", { "type": ["string", "integer"], "examples": ["reset", 503] };
    /// `10.0.0.0/8`.
    Network, "network", { "type": "string", "examples": ["10.0.0.0/8"] };
    /// Anything.
    Text, "text", { "type": ["string", "number", "boolean"] };
}
