use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use berth_model::Invalid;

const MEND: &str = "Write a host and a port, such as localhost:9090.";

/// Where a registry listens: a host name or IP address, and a port. Cheap to clone.
///
/// It is read from `localhost:9090`, `127.0.0.1:9090`, `[::1]:9090` or `http://localhost:9090`; the port
/// may be left out. It prints as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryAddress {
    // An IPv6 address stands without its brackets.
    host: Arc<str>,
    port: u16,
}

impl RegistryAddress {
    /// The port of an address that names none.
    pub const DEFAULT_PORT: u16 = 9090;

    /// Reads a list that is separated by commas; an address that stands there twice counts once.
    ///
    /// # Errors
    /// The first address that cannot be read, and a list without any.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Invalid> {
        let mut list = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let address = part.parse()?;
            if !list.contains(&address) {
                list.push(address);
            }
        }
        if list.is_empty() {
            return Err(Invalid::new("registry", "is empty", MEND));
        }
        Ok(list)
    }

    /// The host name, or the IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Registries as an option or a variable names them: addresses separated by commas, or nothing at all, which an
/// empty variable means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryList(Vec<RegistryAddress>);

impl RegistryList {
    /// All addresses of several lists; one that stands there twice counts once. Those of `default` if there are
    /// none.
    pub fn united(lists: Vec<Self>, default: Vec<RegistryAddress>) -> Vec<RegistryAddress> {
        let mut all = Vec::new();
        for address in lists.into_iter().flat_map(|list| list.0) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        if all.is_empty() { default } else { all }
    }
}

impl FromStr for RegistryList {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        RegistryAddress::parse_list(text).map(Self)
    }
}

impl Default for RegistryAddress {
    /// `localhost:9090`.
    fn default() -> Self {
        Self { host: "localhost".into(), port: Self::DEFAULT_PORT }
    }
}

impl FromStr for RegistryAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |problem: &str, mend: &str| {
            let shown: String = text.chars().take(60).collect();
            Invalid::new("registry", format!("is {shown:?}, {problem}"), mend)
        };
        let authority = match text.split_once("://") {
            None => text,
            Some(("http", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some(_) => return Err(invalid("whose scheme is not http", MEND)),
        };
        if authority.contains(['/', '?', '#', '@']) {
            return Err(invalid("which has more than a host and a port", MEND));
        }
        if !authority.is_empty() && authority.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid("a port without a host", &format!("Write localhost:{authority}.")));
        }
        let (host, port) = split(authority).ok_or_else(|| invalid("which is no host and port", MEND))?;
        let port = match port {
            None => Self::DEFAULT_PORT,
            Some(port) => {
                parse_port(port).ok_or_else(|| invalid("whose port is not a number from 1 to 65535", MEND))?
            }
        };
        if !is_host(host) {
            return Err(invalid("whose host is neither a name nor an IP address", MEND));
        }
        Ok(Self { host: host.to_ascii_lowercase().into(), port })
    }
}

impl fmt::Display for RegistryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Host and port; a host in brackets must be an IPv6 address, and a bare IPv6 address has no port.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return match rest {
            "" => Some((host, None)),
            _ => Some((host, Some(rest.strip_prefix(':')?))),
        };
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Some((authority, None));
    }
    match authority.split_once(':') {
        None => Some((authority, None)),
        Some((host, port)) => Some((host, Some(port))),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    // `u16` would read `+80` as well.
    let is_plain = text.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten().filter(|port| *port > 0)
}

fn is_host(text: &str) -> bool {
    let is_name = || text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    !text.is_empty() && text.len() <= 253 && (text.parse::<IpAddr>().is_ok() || is_name())
}
