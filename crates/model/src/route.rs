use std::net::Ipv6Addr;

use crate::{Invalid, excerpt};

/// The most bytes of a route.
const MAX_ROUTE_BYTES: usize = 1024;

/// The longest name of the DNS (RFC 1035 §2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// Whether balancers can read what an instance advertises: `/api`, or `api.example.com/` with a host. They would pass
/// it over, and its owner would never know.
///
/// # Errors
/// It is neither.
pub fn check_route(text: &str) -> Result<(), Invalid> {
    let refused = |mend: &str| Err(Invalid::new("route", format!("is {}", excerpt(text)), mend));
    if text.len() > MAX_ROUTE_BYTES {
        let mend = format!("Send at most {MAX_ROUTE_BYTES} bytes.");
        return Err(Invalid::new("route", format!("has {} bytes", text.len()), mend));
    }
    let Some(slash) = text.find('/') else {
        return refused("Send a path such as /api, or a host with one such as api.example.com/.");
    };
    let (host, path) = text.split_at(slash);
    if path.starts_with("//") && host.ends_with(':') {
        return refused("Leave the scheme out: api.example.com/.");
    }
    if !host.is_empty() && !is_host(host) {
        return refused("Send a host without its port, such as api.example.com/, *.example.com/ or [::1]/.");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte)) {
        return refused("Send a path without query; percent-encode what is not visible ASCII.");
    }
    if path.strip_suffix("/*").unwrap_or(path).contains('*') {
        return refused("Send a star only as the last segment: /api/* is /api and everything below it.");
    }
    if path.contains("//") || has_dot_segment(path) {
        return refused("Send a path without empty, . and .. segments.");
    }
    Ok(())
}

/// A name, perhaps behind `*.`, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    name.len() <= MAX_HOST_BYTES
        && name.split('.').all(|label| !label.is_empty() && label.bytes().all(is_plain))
}

/// Whether anybody could read a dot segment into it: some servers take `\` and encoded slashes for slashes, and cut `;`
/// and what follows it off a segment.
fn has_dot_segment(path: &str) -> bool {
    let slashes = ["%2F", "%2f", "%5C", "%5c", "\\"];
    let path = slashes.iter().fold(path.to_owned(), |path, slash| path.replace(slash, "/"));
    let path = path.replace("%2E", ".").replace("%2e", ".").replace("%3B", ";").replace("%3b", ";");
    path.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}
