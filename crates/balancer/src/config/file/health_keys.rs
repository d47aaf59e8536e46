//! The keys of health checks and of retries. The comments here are what docs/configuration.md and editors show.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::spot::{Cause, OneOrMany, Spot, Statuses, Time};

/// How the endpoints of a backend are looked at. Without this key they are asked nothing until a request or a registry
/// raises a doubt, and then `HEAD /`, to which any answer will do. With it they are asked all the time, each on a
/// connection of its own: what `path`, `host` and `status` say, or `HEAD /` where they say nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Health")]
pub(super) struct HealthKeys {
    // The first field: a check that is only a text is its path.
    /// What is asked for with `GET`, such as `/healthz`; `/` if only `host` or `status` is said. `health: /healthz` is
    /// short for it.
    pub(super) path: Option<Spot<String>>,
    /// The Host of the request; without it the endpoint's name or address.
    pub(super) host: Option<Spot<String>>,
    /// The statuses of an endpoint that is well, such as `200`, `2xx` or `200-399`.
    #[schemars(with = "Option<OneOrMany<Statuses>>", extend("default" = "200-399"))]
    pub(super) status: Option<Spot<OneOrMany<Spot<String>>>>,
    /// `true`: for endpoints that do not speak HTTP. They are well if they accept the connection, which a process that
    /// hangs does as well.
    #[schemars(extend("default" = false))]
    pub(super) tcp: Option<bool>,
    /// From one look to the next, from 100ms to 1h; it varies a little, so that they do not all come at once.
    #[schemars(with = "Option<Time>", extend("default" = "2s"))]
    pub(super) interval: Option<Spot<String>>,
    /// How long the answer may take, connecting included; at most the `interval`.
    #[schemars(with = "Option<Time>", extend("default" = "1s"))]
    pub(super) timeout: Option<Spot<String>>,
    /// So many good looks in a row bring an endpoint back.
    #[schemars(range(min = 1, max = 100), extend("default" = 2))]
    pub(super) rise: Option<u32>,
    /// So many bad ones in a row take it out; one that refuses the connection is out at once.
    #[schemars(range(min = 1, max = 100), extend("default" = 3))]
    pub(super) fall: Option<u32>,
}

/// A check as a path or as a mapping.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct HealthEntry(pub(super) HealthKeys);

impl JsonSchema for HealthEntry {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "HealthEntry".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string", "x-kind": "path" }, generator.subschema_for::<HealthKeys>()] })
    }
}

/// When a request that an endpoint got and did not answer is sent again, to another one if there is any: only if its
/// method allows that (`GET`, `HEAD`, `OPTIONS`, `PUT`, `DELETE`), and only as long as all of its body is at
/// hand. What no endpoint got goes to the next one in any case.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Retry")]
pub(super) struct RetryKeys {
    /// How often, at most; 0 for never.
    #[schemars(with = "Option<u32>", range(min = 0, max = 10), extend("default" = 2))]
    pub(super) attempts: Option<u32>,
    /// After what: `reset`, the connection ended before the answer began; `silence`, the endpoint has said nothing and
    /// answers no probe either; `timeout`, `timeout_answer` is over; or an answer with one of these statuses, from 500
    /// to 599.
    #[schemars(with = "Option<OneOrMany<Cause>>", extend("default" = ["reset", "silence"]))]
    pub(super) on: Option<Spot<OneOrMany<Spot<String>>>>,
}
