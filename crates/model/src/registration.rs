use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::invalid::excerpt;
use crate::route::check_route;
use crate::{Instance, InstanceId, Invalid, Run, Scheme, ServiceName, Ttl, Version};

const MAX_TEXT_BYTES: usize = 128;
const MAX_ROUTES: usize = 64;
const MAX_META_ENTRIES: usize = 64;
const MAX_META_BYTES: usize = 4096;
const MAX_WEIGHT: u64 = 1000;

/// The most bytes of meta, and of routes: every watcher has to take in all of every instance.
const MAX_CONTENT_BYTES: usize = 16 * 1024;

/// Whether the registry dials an instance before it publishes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// The address must accept a TCP connection.
    #[default]
    Tcp,
    /// Published as it came.
    None,
}

/// What an owner says of its instance: the checked body of a registration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Registration {
    /// The run; the registry makes one for a caller that sends none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// The version, if the owner names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The address; the caller's own where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<IpAddr>,
    /// The port; never 0.
    pub port: u16,
    /// How to speak to it.
    pub scheme: Scheme,
    /// 1 to 1000.
    pub weight: u16,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Host and path prefixes that it wants to serve.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Whatever the owner wants to tell.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    /// How long the lease lives.
    pub ttl_s: Ttl,
    /// Whether to dial before publishing.
    pub verify: Verify,
    /// Whether it takes no new requests.
    pub draining: bool,
}

/// The body as it came: right JSON types, nothing else checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRegistration {
    run: Option<String>,
    version: Option<String>,
    host: Option<String>,
    port: Option<u64>,
    scheme: Option<String>,
    weight: Option<u64>,
    zone: Option<String>,
    routes: Option<Vec<String>>,
    meta: Option<BTreeMap<String, String>>,
    ttl_s: Option<f64>,
    verify: Option<String>,
    draining: Option<bool>,
}

impl Registration {
    /// A registration of this port with every default.
    pub fn of_port(port: u16) -> Self {
        Self {
            run: None,
            version: None,
            host: None,
            port,
            scheme: Scheme::default(),
            weight: 1,
            zone: None,
            routes: Vec::new(),
            meta: BTreeMap::new(),
            ttl_s: Ttl::default(),
            verify: Verify::default(),
            draining: false,
        }
    }

    /// Reads and checks a request body.
    ///
    /// # Errors
    /// The first thing that is wrong: JSON, an unknown field, a type, or a value out of range.
    pub fn from_json(body: &[u8]) -> Result<Self, Invalid> {
        let raw: RawRegistration = read_json(body)?;
        let mut checked = Self::of_port(check_port(raw.port)?);
        checked.run = raw.run.map(|text| text.parse()).transpose()?;
        if checked.run == Some(Run::STATIC) {
            return Err(Invalid::new(
                "run",
                "is 0",
                "Leave it out, or send a number that grows with each start.",
            ));
        }
        checked.version = raw.version.map(|text| text.parse()).transpose()?;
        checked.host = raw.host.map(|text| check_host(&text)).transpose()?;
        checked.scheme = match raw.scheme.as_deref() {
            None => Scheme::default(),
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(other) => return Err(not_one_of("scheme", other, "http or https")),
        };
        checked.weight = raw.weight.map_or(Ok(1), check_weight)?;
        checked.zone = raw.zone.map(|zone| check_text("zone", zone, MAX_TEXT_BYTES)).transpose()?;
        checked.routes = check_routes(raw.routes.unwrap_or_default())?;
        checked.meta = check_meta(raw.meta.unwrap_or_default())?;
        let routes_bytes: usize = checked.routes.iter().map(String::len).sum();
        if routes_bytes > MAX_CONTENT_BYTES {
            let mend = format!("Send at most {MAX_CONTENT_BYTES} bytes.");
            return Err(Invalid::new("routes", format!("has {routes_bytes} bytes"), mend));
        }
        checked.ttl_s = raw.ttl_s.map_or(Ok(Ttl::default()), Ttl::try_from)?;
        checked.verify = match raw.verify.as_deref() {
            None | Some("tcp") => Verify::Tcp,
            Some("none") => Verify::None,
            Some(other) => return Err(not_one_of("verify", other, "\"tcp\" or \"none\"")),
        };
        checked.draining = raw.draining.unwrap_or(false);
        Ok(checked)
    }

    /// The instance that this registration publishes.
    pub fn into_instance(self, service: ServiceName, id: InstanceId, run: Run, host: IpAddr) -> Instance {
        Instance {
            service,
            id,
            run,
            version: self.version,
            host,
            port: self.port,
            scheme: self.scheme,
            weight: self.weight,
            zone: self.zone,
            routes: self.routes,
            meta: self.meta.into(),
            ttl_s: self.ttl_s,
            draining: self.draining,
        }
    }
}

/// The checked body of a change to a live instance. At least one member is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Patch {
    /// Stop or resume taking new requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draining: Option<bool>,
    /// A new weight, 1 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// The whole new meta.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPatch {
    draining: Option<bool>,
    weight: Option<u64>,
    meta: Option<BTreeMap<String, String>>,
}

impl Patch {
    /// Reads and checks a request body.
    ///
    /// # Errors
    /// The first thing that is wrong, and a body that changes nothing.
    pub fn from_json(body: &[u8]) -> Result<Self, Invalid> {
        let raw: RawPatch = read_json(body)?;
        let checked = Self {
            draining: raw.draining,
            weight: raw.weight.map(check_weight).transpose()?,
            meta: raw.meta.map(check_meta).transpose()?,
        };
        if checked == Self::default() {
            return Err(Invalid::new(
                "body",
                "changes nothing",
                "Send at least one of draining, weight, meta.",
            ));
        }
        Ok(checked)
    }

    /// Takes over a later change: its word counts, member by member.
    pub fn merge(&mut self, later: &Self) {
        self.draining = later.draining.or(self.draining);
        self.weight = later.weight.or(self.weight);
        if later.meta.is_some() {
            self.meta.clone_from(&later.meta);
        }
    }

    /// Applies the change to an instance.
    pub fn apply(&self, instance: &mut Instance) {
        if let Some(draining) = self.draining {
            instance.draining = draining;
        }
        if let Some(weight) = self.weight {
            instance.weight = weight;
        }
        if let Some(meta) = &self.meta {
            instance.meta = meta.clone().into();
        }
    }
}

pub(crate) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Invalid> {
    let text = std::str::from_utf8(body).map_err(|broken| {
        let place = format!("is not UTF-8 at byte {}", broken.valid_up_to());
        Invalid::new("body", place, "Send a JSON object in UTF-8.")
    })?;
    // serde would also take an array for the fields in their order.
    if !text.trim_start().starts_with('{') {
        return Err(Invalid::new("body", "is no JSON object", "Send one JSON object in UTF-8."));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let field = if inner.is_data() && path != "." { path } else { "body".to_owned() };
        let mend = if inner.is_data() {
            "Send the fields and types that docs/registry-api.md lists."
        } else {
            "Send one JSON object in UTF-8."
        };
        Invalid::new(field, format!("cannot be read: {inner}"), mend)
    })?;
    reader
        .end()
        .map_err(|_| Invalid::new("body", "goes on after its JSON object", "Send one JSON object."))?;
    Ok(value)
}

fn check_port(port: Option<u64>) -> Result<u16, Invalid> {
    let mend = "Send the port that the instance listens on, 1 to 65535.";
    let port = port.ok_or_else(|| Invalid::new("port", "is missing", mend))?;
    match u16::try_from(port) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Invalid::new("port", format!("is {port}"), mend)),
    }
}

fn check_host(text: &str) -> Result<IpAddr, Invalid> {
    let host: IpAddr = text.parse().map_err(|_| {
        Invalid::new(
            "host",
            format!("is {}", excerpt(text)),
            "Send an IP address, or leave it out to use your own.",
        )
    })?;
    // An IPv4 address in IPv6 clothes is judged, and published, as what it is.
    let host = host.to_canonical();
    let kind = match host {
        _ if host.is_unspecified() => "the unspecified address",
        _ if host.is_multicast() => "a multicast address",
        IpAddr::V4(v4) if v4.is_link_local() => "a link-local address",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address",
        _ => return Ok(host),
    };
    let mend = "Send an address that the balancers can reach, or leave it out to use your own.";
    Err(Invalid::new("host", format!("is {kind} {host}"), mend))
}

fn check_weight(weight: u64) -> Result<u16, Invalid> {
    match u16::try_from(weight) {
        Ok(small) if (1..=MAX_WEIGHT).contains(&weight) => Ok(small),
        _ => Err(Invalid::new("weight", format!("is {weight}"), "Send a whole number from 1 to 1000.")),
    }
}

fn check_text(field: &str, text: String, max_bytes: usize) -> Result<String, Invalid> {
    if text.len() > max_bytes {
        let mend = format!("Send at most {max_bytes} bytes.");
        return Err(Invalid::new(field, format!("has {} bytes", text.len()), mend));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(field, "has control characters", "Send printable text."));
    }
    Ok(text)
}

fn check_routes(routes: Vec<String>) -> Result<Vec<String>, Invalid> {
    if routes.len() > MAX_ROUTES {
        return Err(Invalid::new("routes", format!("has {} entries", routes.len()), "Send at most 64."));
    }
    let check = |(index, route): (usize, String)| {
        let field = format!("routes[{index}]");
        check_route(&route).map_err(|invalid| invalid.of(&field))?;
        Ok(route)
    };
    routes.into_iter().enumerate().map(check).collect()
}

fn check_meta(meta: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Invalid> {
    if meta.len() > MAX_META_ENTRIES {
        return Err(Invalid::new("meta", format!("has {} entries", meta.len()), "Send at most 64."));
    }
    for (key, value) in &meta {
        if key.is_empty() || key.len() > MAX_TEXT_BYTES || key.chars().any(char::is_control) {
            let mend = "Send keys of 1 to 128 bytes of printable text.";
            return Err(Invalid::new("meta", format!("has the key {}", excerpt(key)), mend));
        }
        if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            let mend = "Send text; encode what is none.";
            return Err(Invalid::new(format!("meta.{key}"), "has control characters", mend));
        }
        if value.len() > MAX_META_BYTES {
            let mend = "Send at most 4096 bytes a value.";
            return Err(Invalid::new(format!("meta.{key}"), format!("has {} bytes", value.len()), mend));
        }
    }
    let content_bytes: usize = meta.iter().map(|(key, value)| key.len() + value.len()).sum();
    if content_bytes > MAX_CONTENT_BYTES {
        let mend = format!("Send at most {MAX_CONTENT_BYTES} bytes in all.");
        return Err(Invalid::new("meta", format!("has {content_bytes} bytes"), mend));
    }
    Ok(meta)
}

fn not_one_of(field: &str, text: &str, choices: &str) -> Invalid {
    Invalid::new(field, format!("is {}", excerpt(text)), format!("Send {choices}."))
}
