use std::time::Duration;

use berth_client::RegistryAddress;
use berth_daemon::LogFormat;
use ipnet::IpNet;

use super::{limits, of, read, read_some};
use crate::config::file::keys::{AccessFormatKey, FileKeys, LogFormatKey};
use crate::config::file::problem::{Report, quoted};
use crate::config::file::spot::{OneOrMany, Spot};
use crate::config::{
    Listen, Options, StatePlace, Upstream, parse_admin, parse_ca, parse_listen, parse_most_body, parse_size,
    parse_time, parse_token,
};
use crate::telemetry::{AccessFormat, AccessTarget};

/// What the file says of the balancer as a whole.
pub(super) fn options(file: &FileKeys, report: &mut Report<'_>) -> Options {
    let listen = listen(file, report);
    let registry = registries(file.registry.as_ref(), report);
    let upstream = upstreams(file.upstream.as_ref(), report);
    let trusted_proxies = networks(file.trusted_proxies.as_ref(), report);
    let mut time =
        |value: &Option<Spot<String>>, key: &str| read_some(value.as_ref(), key, parse_time, report);
    let timeout_connect: Option<Duration> = time(&file.timeout_connect, "timeout_connect");
    let timeout_head = time(&file.timeout_head, "timeout_head");
    let timeout_answer = time(&file.timeout_answer, "timeout_answer");
    let timeout_body = time(&file.timeout_body, "timeout_body");
    let timeout_send = time(&file.timeout_send, "timeout_send");
    let timeout_idle = time(&file.timeout_idle, "timeout_idle");
    let timeout_tunnel = time(&file.timeout_tunnel, "timeout_tunnel");
    let timeout_upstream_idle = time(&file.timeout_upstream_idle, "timeout_upstream_idle");
    let grace = time(&file.grace, "grace");
    Options {
        registry,
        service: read_some(file.service.as_ref(), "service", str::parse, report),
        upstream,
        listen,
        admin: read_some(file.admin.as_ref(), "admin", parse_admin, report),
        token: read_some(file.token.as_ref(), "token", of("token", parse_token), report)
            .filter(|token| !token.is_empty()),
        threads: file.threads,
        max_connections: file.max_connections,
        max_head: read_some(file.max_head.as_ref(), "max_head", of("max_head", parse_size), report),
        max_target: read_some(file.max_target.as_ref(), "max_target", of("max_target", parse_size), report),
        max_fields: file.max_fields,
        max_body: read_some(file.max_body.as_ref(), "max_body", of("max_body", parse_most_body), report),
        timeout_connect,
        timeout_head,
        timeout_answer,
        timeout_body,
        timeout_send,
        timeout_idle,
        timeout_tunnel,
        timeout_upstream_idle,
        grace,
        trusted_proxies,
        upstream_ca: read_some(file.upstream_ca.as_ref(), "upstream_ca", parse_ca, report),
        via: file.via,
        per_client: limits::read_per_client(file.per_client.as_ref(), report),
        state: file.state.as_deref().and_then(StatePlace::parse),
        state_home: None,
        access_log: file.access_log.as_deref().map(AccessTarget::parse),
        access_log_format: file.access_log_format.map(|format| match format {
            AccessFormatKey::Combined => AccessFormat::Combined,
            AccessFormatKey::Json => AccessFormat::Json,
        }),
        log_format: file.log_format.map(|format| match format {
            LogFormatKey::Text => LogFormat::Text,
            LogFormatKey::Json => LogFormat::Json,
        }),
    }
}

fn listen(file: &FileKeys, report: &mut Report<'_>) -> Option<Listen> {
    let listen = read_some(file.listen.as_ref(), "listen", parse_listen, report).map(Listen::on);
    if let (Some(_), Some(port)) = (&file.listen, &file.port) {
        report.error(port.place, "`listen` says already where clients connect: leave `port` or `listen` out");
    }
    listen.or_else(|| file.port.as_ref().map(|port| Listen::everywhere(port.value)))
}

/// All parts of a list of texts, which may each be a list with commas.
fn parts(list: &OneOrMany<Spot<String>>) -> impl Iterator<Item = Spot<String>> {
    list.0.iter().flat_map(|text| {
        let part = |part: &str| Spot { place: text.place, value: part.trim().to_owned() };
        text.value.split(',').map(part).filter(|part| !part.value.is_empty())
    })
}

fn registries(
    list: Option<&OneOrMany<Spot<String>>>,
    report: &mut Report<'_>,
) -> Option<Vec<RegistryAddress>> {
    let mut all = Vec::new();
    for part in list.into_iter().flat_map(parts) {
        let address = read(&part, "registry", str::parse::<RegistryAddress>, report);
        all.extend(address.filter(|address| !all.contains(address)));
    }
    (!all.is_empty()).then_some(all)
}

fn upstreams(list: Option<&OneOrMany<Spot<String>>>, report: &mut Report<'_>) -> Option<Vec<Upstream>> {
    let mut all = Vec::new();
    for part in list.into_iter().flat_map(parts) {
        all.extend(read(&part, "upstream", str::parse::<Upstream>, report));
    }
    (!all.is_empty()).then_some(all)
}

fn networks(list: Option<&OneOrMany<Spot<String>>>, report: &mut Report<'_>) -> Option<Vec<IpNet>> {
    let mut all = Vec::new();
    for part in list.into_iter().flat_map(parts) {
        let network = |text: &str| {
            let mend = "Write an address and the length of its prefix, such as 10.0.0.0/8.";
            text.parse::<IpNet>().map_err(|_| format!("trusted_proxies is {}. {mend}", quoted(text)))
        };
        all.extend(read(&part, "trusted_proxies", network, report));
    }
    (!all.is_empty()).then_some(all)
}
